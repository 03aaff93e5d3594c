"""Jenkins: which build this is. The shared library shows the run; it reads the file that is left for it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dt_action.model.build import Build
from dt_action.model.report import Publication
from dt_action.model.run import Run
from dt_action.providers import outputs
from dt_action.providers.settings import Settings

DOTENV = "dt.env"


class Jenkins:
    """The Provider for Jenkins. `junit` and `recordCoverage` in the Jenkinsfile read the documents themselves."""

    name = "jenkins"

    def __init__(self, environ: Mapping[str, str], settings: Settings) -> None:
        self._environ = environ
        self._settings = settings

    def build(self) -> Build:
        """The build that the environment describes; `CHANGE_*` is set by multibranch projects for pull requests."""
        env = self._environ
        number, target = env.get("CHANGE_ID", ""), env.get("CHANGE_TARGET", "")
        branch = env.get("CHANGE_BRANCH", "") or env.get("BRANCH_NAME", "") or env.get("GIT_BRANCH", "")
        return Build(
            provider=self.name,
            repository=_repository(env.get("GIT_URL", "")),
            commit=env.get("GIT_COMMIT", ""),
            base_commit="" if target else env.get("GIT_PREVIOUS_SUCCESSFUL_COMMIT", ""),
            base_branch=target,
            branch=branch.removeprefix("origin/"),
            pull_request=int(number) if number.isdecimal() else None,
            run_id=env.get("BUILD_TAG", "") or env.get("BUILD_ID", ""),
            run_number=int(env["BUILD_NUMBER"]) if env.get("BUILD_NUMBER", "").isdecimal() else 0,
            job=env.get("JOB_NAME", ""),
            url=env.get("BUILD_URL", ""),
            server_url=env.get("JENKINS_URL", ""),
            environment=self._settings.environment,
            is_default_branch=env.get("BRANCH_IS_PRIMARY", "") == "true",
        )

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """Leave the totals where `distributedTesting` reads them for the build's description."""
        directory = Path(self._settings.output_dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            found = outputs.outputs_of(run, publication, self._settings.output_dir)
            (directory / DOTENV).write_text(outputs.dotenv(found), encoding="utf-8", newline="\n")
        except OSError as error:
            return [f"the totals for the build's description: {error}"]
        return []


def _repository(url: str) -> str:
    """`git@host:team/app.git` and `https://host/team/app.git` -> `team/app`; a password in the address is left out."""
    path = url.removesuffix(".git").split("://", 1)[-1]
    path = path.rsplit("@", 1)[-1].replace(":", "/", 1)
    return path.split("/", 1)[-1] if "/" in path else ""
