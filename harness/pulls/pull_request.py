"""What a pull request adds, read as data: entries that may be scored, and reasons to refuse it.

Nothing of it is checked out or executed. A pull request may add entries, one regular file ``submissions/NAME.py`` each;
everything else is refused, and a refused pull request is not scored at all. An entry that does not pass ``bench check``
is invalid, and the others are scored.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from unlearn_bench.harness.entries import package
from unlearn_bench.harness.entries.entry import (
    SIZE,
    Entry,
    InvalidEntry,
    baseline,
    baseline_names,
    from_source,
    has_shipped_name,
)
from unlearn_bench.harness.pulls.git import Change, Repository
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.field_types import Reason
from unlearn_bench.harness.support.json_schema import rule
from unlearn_bench.harness.tracks.competition import Competition

FOLDER = "submissions"
MOST = 5
"""The most entries of one pull request."""
SHOWN = 20
"""The most refusals that are listed."""
PATH = re.compile(rb"submissions/([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})\.py")
PLAIN = re.compile(rb"[A-Za-z0-9_.][A-Za-z0-9_./-]{0,99}")
RESERVED = re.compile(r"(_.*|test_.*|.*_test|conftest|setup|sitecustomize|usercustomize)", re.IGNORECASE)
"""Names of files that Python or its tools would run unasked."""
MODES = {
    "120000": ("is a symbolic link", "send in the file itself"),
    "160000": ("is a submodule", "send in the file itself"),
    "100755": ("is executable", "git update-index --chmod=-x, then commit"),
}


@dataclass(frozen=True)
class Refusal:
    """One thing that keeps a pull request, or one entry of it, from being scored."""

    path: Annotated[str, rule(pattern="^[A-Za-z0-9_./-]{0,100}$")]
    """The path if it is plain enough to be shown anywhere, or else empty."""
    what: Annotated[str, rule(maxLength=300)]
    """In the benchmark's own words, without any of the pull request's."""
    remedy: Annotated[str, rule(maxLength=300)]
    detail: Reason = ""
    """For the maintainer only: it may quote the pull request."""

    @property
    def line(self) -> str:
        """All but the remedy, for the maintainer."""
        return " ".join(filter(None, (self.path, self.what, self.detail and f"({self.detail})")))


@dataclass(frozen=True)
class Submission:
    """One entry of a pull request."""

    entry: Entry
    path: str
    blob: str
    change: Literal["added", "changed"]


@dataclass(frozen=True)
class PullRequest:
    """Three commits, and what the pull request adds between its merge base and its head."""

    base: str
    head: str
    merge_base: str
    submissions: tuple[Submission, ...]
    refusals: tuple[Refusal, ...]
    """What keeps all of it from being scored."""
    invalid: tuple[Refusal, ...]
    """Entries that break the contract; the others are scored."""


def read(
    repository: Repository, base: str, head: str, allow_change: bool = False, packages: bool = False
) -> PullRequest:
    """Return what the commit ``head`` adds to ``base`` since it left it.

    ``allow_change``: a maintainer allows the pull request to replace an entry of the base branch. ``packages``: an
    entry may be the bundle of a package.

    Raises:
        GitError: a commit is missing, or the two have no single common ancestor.
    """
    base, head = repository.commit(base), repository.commit(head)
    merge_base = repository.merge_base(base, head)
    changes = repository.changes(merge_base, head)
    present = {path: blob for path, _, blob in repository.tree(base, FOLDER)}
    changes = [change for change in changes if change.status == "D" or present.get(change.path) != change.blob]
    tree = _Tree(
        present,
        added_blobs={change.blob for change in changes if change.status == "A"},
        spellings=Counter(path.lower() for path in {*present, *(change.path for change in changes)}),
    )
    refusals = [refusal for change in changes if (refusal := _refused(change, tree, allow_change))]
    if not changes:
        refusals = [Refusal("", "adds nothing to the base branch", "add one file submissions/NAME.py")]
    elif len(changes) > MOST and not refusals:
        refusals = [Refusal("", f"has {len(changes)} entries, more than {MOST}", "send in several pull requests")]
    judged = [] if refusals else [_submission(repository, change, present, packages) for change in changes]
    invalid = tuple(judgement for judgement in judged if isinstance(judgement, Refusal))
    submissions = [judgement for judgement in judged if isinstance(judgement, Submission)]
    if not refusals:
        refusals = _copies(submissions, _existing_entries(repository, present))
    scored = () if refusals else tuple(submissions)
    return PullRequest(base, head, merge_base, scored, tuple(refusals[:SHOWN]), invalid)


def in_time(
    pull: PullRequest, competition: Competition | None, received: datetime.datetime | None = None
) -> PullRequest:
    """Return a pull request that was ``received`` at a time (default: now), refused if its competition has closed."""
    closes = None if competition is None else competition.closes
    if closes is None or (received or datetime.datetime.now(datetime.UTC)) <= closes:
        return pull
    what, remedy = (
        f"came after the deadline, {closes.isoformat()}",
        "if it was in time, its host says so with --received",
    )
    late = Refusal("", what, remedy)
    return replace(pull, submissions=(), refusals=(late, *pull.refusals)[:SHOWN])


def refused(pull: PullRequest) -> BenchError:
    """Return the error that ends a command on a refused pull request (exit code 10)."""
    more = f", and {len(pull.refusals) - 1} more" if len(pull.refusals) > 1 else ""
    what = f"the pull request is refused: {pull.refusals[0].line}{more}"
    return BenchError(what, "your method", pull.refusals[0].remedy, EXIT_CODES["invalid"])


@dataclass(frozen=True)
class _Tree:
    """What is beside a change, looked up once for all of them: there may be thousands."""

    present: Mapping[bytes, str]
    """The blobs of the base branch by path."""
    added_blobs: Set[str]
    spellings: Mapping[bytes, int]
    """How many paths, of both sides, are the same but for their case."""


def _refused(change: Change, tree: _Tree, allow_change: bool) -> Refusal | None:
    """Return the refusal of a change by its path and mode, before its content is read, or ``None``."""
    path = change.path.decode("ascii") if PLAIN.fullmatch(change.path) and b".." not in change.path else ""
    detail = "" if path else f"path {ascii(change.path)[1:][:200]}"

    def refusal(what: str, remedy: str) -> Refusal:
        return Refusal(path, what, remedy, detail)

    if not change.path.startswith(b"submissions/"):
        return refusal("is outside of submissions/", "a pull request with an entry changes nothing else")
    if change.status == "D":
        return refusal(
            "is renamed" if change.old_blob in tree.added_blobs else "is removed",
            "leave it: ask a maintainer to withdraw an entry",
        )
    if change.mode in MODES:
        return refusal(*MODES[change.mode])
    if change.mode != "100644":
        return refusal("is not a regular file", "send in one Python file")
    match = PATH.fullmatch(change.path)
    if match is None:
        return refusal("is not named like an entry", "name it submissions/NAME.py with letters, digits, _, - and .")
    name = match[1].decode("ascii")
    if RESERVED.fullmatch(name):
        return refusal("has a name that Python or its tools give a meaning to", "rename it")
    if has_shipped_name(name):
        return refusal("has the name of a shipped method", "rename it")
    if tree.spellings[change.path.lower()] > 1:
        return refusal("differs from another file by case alone", "rename it")
    if change.status == "M" and change.old_blob == change.blob:
        return refusal("changes its mode and nothing else", "leave it as it is")
    if (change.status != "A" or change.path in tree.present) and not allow_change:
        return refusal("is there already", "choose another name, or ask a maintainer, who can allow the change")
    return None


def _submission(
    repository: Repository, change: Change, present: Mapping[bytes, str], packages: bool
) -> Submission | Refusal:
    path = change.path.decode("ascii")
    limit = package.SIZE if packages else SIZE
    source = repository.read(change.blob, limit)
    if source is None:
        return Refusal(path, f"has more than {limit:,} bytes", "shorten the file; weights cannot be sent")
    try:
        entry = from_source(path.removeprefix(f"{FOLDER}/").removesuffix(".py"), source)
    except InvalidEntry as error:
        return Refusal(path, "does not pass `bench check`", f"`bench check {path}` says what is wrong", error.message)
    if entry.is_package and not packages:
        return Refusal(path, "is a package, which this track does not allow", "put the method into one file")
    changed = change.status != "A" or change.path in present
    return Submission(entry, path, change.blob, "changed" if changed else "added")


def _copies(submissions: Sequence[Submission], existing: dict[str, tuple[str, str]]) -> list[Refusal]:
    """Refuse copies of another entry, up to comments and layout; ``existing``: path → (SHA-256, syntax)."""
    refusals = []
    for submission in submissions:
        path, entry = submission.path, submission.entry
        for other, (sha256, syntax) in existing.items():
            same_bytes = entry.sha256 == sha256
            if other == path or not (same_bytes or (syntax and entry.syntax == syntax)):
                continue
            same_code = f"differs from {other} in comments, docstrings and layout alone"
            what = f"has the bytes of {other}" if same_bytes else same_code
            refusals.append(Refusal(path, what, "send in a method of your own"))
            break
        existing[path] = entry.sha256, entry.syntax
    return refusals


def _existing_entries(repository: Repository, present: Mapping[bytes, str]) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 and the syntax of shipped methods and of the base branch's entries, by path."""
    existing = {}
    for name in baseline_names():
        existing[f"baselines/{name}.py"] = baseline(name).sha256, baseline(name).syntax
    for path, blob in present.items():
        if PATH.fullmatch(path) and (content := repository.read(blob, package.SIZE)) is not None:
            try:
                entry = from_source("entry", content)
            except InvalidEntry:  # of an older contract: nothing to compare with
                continue
            existing[path.decode("ascii")] = entry.sha256, entry.syntax
    return existing
