"""pytest's own command line, as `dt run` takes it: paths, node ids and pytest's options beside dt's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dt_action.errors import ConfigurationError

TAKES_VALUE = frozenset(
    [
        "-k",
        "-m",
        "-p",
        "-o",
        "-W",
        "-c",
        "-r",
        "--assert",
        "--basetemp",
        "--capture",
        "--code-highlight",
        "--color",
        "--confcutdir",
        "--config-file",
        "--cov-config",
        "--cov-context",
        "--cov-fail-under",
        "--cov-report",
        "--deselect",
        "--dist",
        "--doctest-glob",
        "--doctest-report",
        "--durations",
        "--durations-min",
        "--ignore",
        "--ignore-glob",
        "--import-mode",
        "--junit-prefix",
        "--junit-xml",
        "--junitxml",
        "--log-cli-level",
        "--log-file",
        "--log-file-level",
        "--log-level",
        "--maxprocesses",
        "--override-ini",
        "--pythonwarnings",
        "--randomly-seed",
        "--reruns-delay",
        "--only-rerun",
        "--rootdir",
        "--show-capture",
        "--tb",
        "--verbosity",
    ]
)
"""Options of pytest and of its most used plugins whose value is the next word."""

TAKES_NONE = frozenset(
    [
        "-l",
        "-s",
        "-f",
        "--cache-clear",
        "--collect-in-virtualenv",
        "--continue-on-collection-errors",
        "--disable-warnings",
        "--doctest-continue-on-failure",
        "--doctest-ignore-import-errors",
        "--doctest-modules",
        "--failed-first",
        "--ff",
        "--full-trace",
        "--keep-duplicates",
        "--keepduplicates",
        "--last-failed",
        "--lf",
        "--new-first",
        "--nf",
        "--no-cov",
        "--no-header",
        "--no-summary",
        "--noconftest",
        "--pyargs",
        "--runxfail",
        "--setup-show",
        "--showlocals",
        "--stepwise",
        "--stepwise-skip",
        "--strict",
        "--strict-config",
        "--strict-markers",
        "--sw",
        "--sw-skip",
        "--trace-config",
        "--cov",
        "--snapshot-update",
        "-q",
        "-qq",
        "--quiet",
        "-d",
    ]
)

HANDED_OVER = frozenset(
    [
        "--cache-show",
        "--co",
        "--collect-only",
        "--fixtures",
        "--fixtures-per-test",
        "--funcargs",
        "--markers",
        "--pdb",
        "--setup-only",
        "--setup-plan",
        "--trace",
    ]
)
"""What only pytest itself can do, in one process with the terminal: such a run is handed over to it."""

OURS: Mapping[str, str] = {
    "-n": "workers",
    "--numprocesses": "workers",
    "--maxfail": "fail_fast",
    "--reruns": "retries",
}
"""Options of pytest and its plugins that dt has under a name of its own."""


@dataclass(slots=True)
class PytestWords:
    """What of a command line is pytest's: `paths` (and node ids), `args`, and options that are dt's, by their name."""

    paths: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    given: dict[str, object] = field(default_factory=dict)
    problems: list[ConfigurationError] = field(default_factory=list)
    known_flags: Sequence[str] = ()

    def take(self, words: Sequence[str]) -> None:
        """Take in the words that are no option of dt, in their order."""
        left = iter(words)
        for word in left:
            self._take_one(word, left)

    def _take_one(self, word: str, left: Iterator[str]) -> None:
        flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-"):
            self.paths.append(word)
        elif flag in OURS:
            self.given[OURS[flag]] = value if equals else self._value(word, left)
        elif word.startswith("-n") and word[2:].isdigit():
            self.given["workers"] = word[2:]
        elif word in ("-x", "--exitfirst"):
            self.given["fail_fast"] = "1"
        elif word.startswith("-v") and set(word[1:]) == {"v"}:
            self.given["verbose"] = True
        elif (
            flag in TAKES_NONE | HANDED_OVER or (equals and flag in TAKES_VALUE) or word[:2] in ("-W", "-p", "-r", "-o")
        ):
            self.args.append(word)
            if word in TAKES_VALUE:
                self.args.append(self._value(word, left))
        elif word in TAKES_VALUE:
            self.args += [word, self._value(word, left)]
        else:
            self.problems.append(self._unknown(flag, word))

    def _value(self, flag: str, left: Iterator[str]) -> str:
        value = next(left, None)
        if value is None:
            self.problems.append(ConfigurationError(f"{flag} expects a value, found the end of the command"))
            return ""
        return value

    def _unknown(self, flag: str, word: str) -> ConfigurationError:
        from difflib import get_close_matches

        closest = get_close_matches(flag, self.known_flags, n=1, cutoff=0.7)
        hint = (
            f"did you mean {closest[0]}?"
            if closest
            else f"an option of pytest or a plugin stands after --: `-- {word}`"
        )
        return ConfigurationError(f"no option {flag}", hint=hint)


def split_at_dashes(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before a lone `--`, and what stands after it, which is pytest's as it is."""
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def handed_over(words: Sequence[str]) -> str:
    """The option among pytest's arguments that only pytest itself can serve; "" where there is none."""
    return next((word for word in words if word in HANDED_OVER), "")
