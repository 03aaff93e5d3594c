"""`dt badge`: badges of reports that were written before, as files or as a commit on GitHub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_from
from dt_action.errors import ConfigurationError
from dt_action.reports.badges import BadgeGenerator, find_results, read_results


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Make the badges; the reports are the words that are no options, by default the output directory."""
    parser = Parser("badge", "make badges of reports, and commit them on GitHub")
    parser.add_argument("reports", nargs="*", help="JSON reports, or directories that hold some [--output-dir]")
    parser.add_argument("--to", help="directory for the badges [--badge-dir]")
    parser.add_argument("--commit", action="store_true", help="commit them through GitHub's API, writing no file here")
    settings, given = settings_from(parser, argv, environ)
    named = [settings.root / name for name in getattr(given, "reports", ()) or (settings.output_dir,)]
    files = [file for path in named for file in (find_results(path) if path.is_dir() else [path])]
    generator = BadgeGenerator([result for file in files for result in read_results(file)])
    if not getattr(given, "commit", False):
        for path in generator.write(settings.root / getattr(given, "to", settings.badge_dir)):
            print(f"badge: {path}")
        return 0
    from dt_action.providers.github import GitHub

    provider = Wiring(settings=settings, environ=environ, listener=lambda _: lambda _: None, say=print).provider()
    if not isinstance(provider, GitHub):
        raise ConfigurationError(
            f"badges can be committed on GitHub only; the CI service here is {provider.name}",
            hint="write files with `dt badge --to DIRECTORY` and publish those, for example as GitLab Pages",
        )
    commit = provider.commit_badges(generator.badges())
    print(f"badges: committed as {commit}" if commit else "badges: unchanged")
    return 0
