"""Port Provider: one module per CI service, imported only when it is the one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dt_action.errors import ConfigurationError
from dt_action.ports import Provider
from dt_action.providers.settings import Settings

NAMES = ("github", "gitlab", "jenkins", "generic")


def detect(environ: Mapping[str, str]) -> str:
    """The CI service that the environment belongs to; `generic` where there is none that is known."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return "github"
    if environ.get("GITLAB_CI") == "true" or (environ.get("CI_JOB_ID") and environ.get("CI_PROJECT_PATH")):
        return "gitlab"
    if environ.get("JENKINS_URL") or (environ.get("JENKINS_HOME") and environ.get("BUILD_TAG")):
        return "jenkins"
    return "generic"


def make(name: str, environ: Mapping[str, str], settings: Settings, *, write: Callable[[str], None]) -> Provider:
    """
    The provider called `name`. `write` puts a line on stdout, where GitHub reads commands and GitLab the coverage.

    Raises ConfigurationError for a name that is none of `NAMES`.
    """
    if name == "github":
        from dt_action.providers.github import GitHub

        return GitHub(environ, settings, write=write)
    if name == "gitlab":
        from dt_action.providers.gitlab import GitLab

        return GitLab(environ, settings, write=write)
    if name == "jenkins":
        from dt_action.providers.jenkins import Jenkins

        return Jenkins(environ, settings)
    if name == "generic":
        from dt_action.providers.generic import Generic

        return Generic(settings)
    raise ConfigurationError(f"--provider is {name!r}; expected one of {', '.join(NAMES)}")
