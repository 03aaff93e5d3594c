"""What a change is compared with: where it left the code that it goes to, by the checkout and not by an event."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dt_action.model.build import Build
from dt_action.workspace.git import Git

MORE_HISTORY = {
    "github": "give actions/checkout the two lines `with:` and `fetch-depth: 0`",
    "gitlab": "give the job the two lines `variables:` and `GIT_DEPTH: 0`",
    "jenkins": "turn off the shallow clone in the checkout, and let it honour the refspec",
}
"""How each CI service is told to clone more than the newest commit."""

_FETCH = "fetch more: git fetch --unshallow, or git fetch origin BRANCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """
    A commit to compare with, empty where none is known.

    `problem` tells in git's own words why it is not known, or cannot be compared with, and what to do.
    """

    commit: str = ""
    problem: str = ""


def untested_commit(build: Build, git: Git) -> str:
    """The build's commit where git knows that HEAD does not hold it; empty where it does, or nobody knows."""
    head = git.resolve("HEAD") if build.commit else ""
    is_tested = not head or _stands_for(build, head, git) or git.is_ancestor(build.commit, head)
    return "" if is_tested else build.commit


def build_of_checkout(build: Build, git: Git) -> tuple[Build, str]:
    """
    The build with the commit that is really checked out, and a sentence where that is another one than was announced.

    A merge that the service made for the build stands for the commit that somebody pushed: the test results are of
    that one, and in such a merge it is the second parent.
    """
    if not build.commit:
        return replace(build, commit=git.commit(), branch=build.branch or git.branch()), ""
    head = git.resolve("HEAD")
    if not head or _stands_for(build, head, git):
        return replace(build, commit=_pushed(build, git) if head == build.commit else build.commit), ""
    said = (
        f"another commit is checked out than the one that the build is for: {head[:12]}, not {build.commit[:12]}; "
        "the results are remembered as those of what is checked out"
    )
    is_default_branch = build.is_default_branch and git.branch() == build.branch
    return replace(build, commit=head, is_default_branch=is_default_branch), said


def find_base(build: Build, git: Git) -> Base:
    """
    Where the code that is checked out left what it is to be merged into; else the commit before.

    A merge commit that the service made names its other parent, which the event may not: it was made later. Of several
    answers the nearest to HEAD counts. What is in the target branch already has not left it.
    """
    head = git.resolve("HEAD")
    if not head:
        return Base(commit=build.base_commit, problem=git.trouble())
    if build.commit and not _stands_for(build, head, git):
        return Base(commit=build.base_commit)  # what lies here says nothing of the build
    other = _other_parent(build, git)
    if other:
        return _told(Base(commit=other), build, git)
    found = [git.merge_base(ref) for ref in _targets(build)]
    if build.base_commit:
        found.append(git.merge_base(build.base_commit))
    left = [commit for commit in found if commit and commit != head]
    if left:
        return Base(commit=_nearest(left, git))
    if build.base_commit and not build.is_forced:
        return _told(Base(commit=git.resolve(build.base_commit) or build.base_commit), build, git)
    before = git.resolve("HEAD" if not build.commit else f"{head}~1")
    if before or not git.parents("HEAD"):
        return Base(commit=before)
    return _told(Base(commit=git.parents("HEAD")[0]), build, git)


def _told(base: Base, build: Build, git: Git) -> Base:
    """The base with the reason why git cannot compare with it, where that is so."""
    if git.resolve(base.commit):
        return base
    said = git.trouble() or f"git says: {git.words_about(base.commit)}"
    if git.is_shallow():
        said += f"; this clone holds only the newest commits: {more_history(build)}"
    return replace(base, problem=said)


def more_history(build: Build) -> str:
    """How to have more than the newest commits on the build's service."""
    return MORE_HISTORY.get(build.provider, _FETCH)


def _targets(build: Build) -> list[str]:
    """The branch that a pull request goes to; for a push of another branch's first commits, the default branch."""
    if build.base_branch:
        return [f"refs/remotes/origin/{build.base_branch}"]
    is_new_branch = build.default_branch and not build.is_default_branch and not build.base_commit
    return [f"refs/remotes/origin/{build.default_branch}"] if is_new_branch or build.is_forced else []


def _other_parent(build: Build, git: Git) -> str:
    """The parent of HEAD that is not the build's commit, where HEAD is a merge of that; empty for all else."""
    parents = git.parents("HEAD")
    if len(parents) == 2 and build.commit in parents:
        return next((parent for parent in parents if parent != build.commit), "")
    return ""


def _stands_for(build: Build, head: str, git: Git) -> bool:
    """True where HEAD is the build's commit, what the service has checked out for it, or a merge of it."""
    return head in (build.commit, build.checked_out) or bool(_other_parent(build, git))


def _pushed(build: Build, git: Git) -> str:
    """
    The commit that somebody pushed, where Jenkins merged it into its target and calls the merge the build's commit.

    Its merges say so: `Merge commit '0123...' into HEAD` (jenkinsci/git-plugin). One that somebody pushed has the
    branch as its first parent.
    """
    parents = git.parents("HEAD")
    if build.provider != "jenkins" or not build.base_branch or len(parents) != 2:
        return build.commit
    target = git.resolve(f"refs/remotes/origin/{build.base_branch}")
    into_target = target and git.is_ancestor(parents[0], target) and not git.is_ancestor(parents[1], target)
    is_made_here = into_target if target else parents[1] in git.subject("HEAD")
    return parents[1] if is_made_here else build.commit


def _nearest(commits: list[str], git: Git) -> str:
    nearest = commits[0]
    for commit in commits[1:]:
        if git.is_ancestor(nearest, commit):
            nearest = commit
    return nearest
