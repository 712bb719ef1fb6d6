"""``bench score-pr``: what a pull request adds is read from git and scored."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.pulls import comment as comments
from unlearn_bench.harness.pulls import outcome, provenance, publication, pull_request, result
from unlearn_bench.harness.pulls.git import Repository
from unlearn_bench.harness.pulls.pull_request import PullRequest, Submission
from unlearn_bench.harness.pulls.result import EntryResult, PullResult
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.board_entries import find
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, promotions
from unlearn_bench.harness.units.records import now
from unlearn_bench.harness.units.tuning import tuned
from unlearn_bench.harness.workflows import versions
from unlearn_bench.harness.workflows.timed import open_context, run_seeds
from unlearn_bench.harness.workflows.untimed import run_shadows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredPull:
    """Result of scoring a pull request."""

    references: References
    result: PullResult
    comment: str
    """For the pull request, in Markdown."""
    refusal: BenchError | None
    """Why it was refused; ``None`` if it was not."""

    def write(self, folder: Path) -> None:
        """Write ``result.json``, ``comment.md`` and ``blobs/`` into a folder, as :func:`publish` reads them."""
        result.write(folder, self.result, self.comment, outcome.blobs(self.references, self.result))


def score_pull(
    repo: Path,
    base: str,
    head: str,
    track: str,
    options: RunOptions,
    *,
    lira: bool = False,
    smoke: bool = False,
    allow_change: bool = False,
    received: datetime.datetime | None = None,
) -> ScoredPull:
    """Score the entries that a pull request adds; nothing of it is checked out. One run per commit is kept.

    Args:
        repo: a clone that has both commits.
        base: the branch or commit that the pull request is for.
        head: the pull request's newest commit.
        track: a track's name, or the path of a TOML file.
        options: how to run its entries.
        lira: also run their shadow units.
        smoke: run one seed each; the result cannot be published.
        allow_change: entries of the base branch may be replaced.
        received: when the commit arrived; default: now. After the deadline of a competition it is refused.

    Raises:
        BenchError: git or the machine failed. A refused pull request, or an entry that is invalid or failed, is
            reported in the result.
    """
    repository, loaded_track, store = Repository(repo), load_track(track, options.secret), Store()
    if smoke:
        disclosure.not_public(loaded_track, "a part of the seeds")
    pull = pull_request.read(repository, base, head, allow_change, loaded_track.protocol.packages)
    harness = provenance.compare_with_commit(repository, pull.base)
    logger.info(harness.line)
    references = References(loaded_track, store)
    stored = None if smoke else publication.find(references, pull.head)
    if stored is not None:
        logger.info("%s was scored on %s: this is that result", pull.head[:12], stored.date)
        return ScoredPull(references, stored, comments.comment(stored), None)
    pull = pull_request.in_time(pull, loaded_track.competition, received)
    for submission in pull.submissions:
        disclosure.within_quota(store, submission.entry, loaded_track)
    started = now()
    entries: list[EntryResult] = []
    if pull.submissions:
        references, entries = _run(pull, references, options, lira and not smoke, 1 if smoke else None)
    scored = outcome.pull_result(references, pull, harness, started=started, smoke=smoke, entries=entries)
    text = comments.comment(scored)
    if not smoke and entries and all(entry.status != "infra" for entry in entries):
        publication.keep(references, scored)
    return ScoredPull(references, scored, text, pull_request.refused(pull) if pull.refusals else None)


def _run(
    pull: PullRequest, references: References, options: RunOptions, lira: bool, seeds: int | None
) -> tuple[References, list[EntryResult]]:
    """Run the first ``seeds`` seeds of the entries, or all; return the references and the result of each entry."""
    track, store = references.track, references.store
    with connected(options) as executor:
        context = open_context(track, executor, options)

        def run(submission: Submission) -> EntryResult:
            entry = tuned(submission.entry, track, store)
            records = list(run_seeds(context, entry, range(seeds or track.protocol.seeds), executor, options).values())
            shadow = None
            if lira and all(record.status == "ok" for record in records):
                attacked = tuned(submission.entry, track, store, "shadow")
                promotions.attack(store, track, entry.id, attacked.id)
                trusted = context.sandbox.trusted
                (shadow,) = run_shadows(context.references, [attacked], executor, options, trusted=trusted)
            versions.accept(context.references, entry.name, entry.id)
            return outcome.entry_result(context.references, submission, records, shadow)

        return context.references, [run(submission) for submission in pull.submissions]


@dataclass(frozen=True)
class PublishedPull:
    """What was done with the result of a pull request."""

    entries: int
    """How many entries may be published."""
    records: int | None
    """How many records were appended to the store; ``None`` if the result was only checked."""
    present: int
    """How many of its records the store had already."""
    rows: Mapping[str, bool]
    """The entries that were published, and whether what was published is the entry's row now."""
    references: References
    result: PullResult

    @property
    def store(self) -> Path:
        """Where the records went."""
        return self.references.store.root

    def comment(self) -> str:
        """Return the comment for the pull request, with the places that the board has now, in Markdown."""
        return publication.comment_of(self.references, self.result)


def publish(
    folder: Path,
    track: str,
    secret: Path | None = None,
    *,
    repo: Path | None = None,
    head: str | None = None,
    only_check: bool = False,
    other_harness: bool = False,
) -> PublishedPull:
    """Check what ``score_pull`` wrote, as data, and append its records to the store; scores are computed here.

    Args:
        folder: with ``result.json`` and ``blobs/``.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        repo: a clone; the entries must be those of its commits.
        head: it must be the result of this commit.
        only_check: append nothing.
        other_harness: accept a harness that is not that of the base commit.

    Raises:
        BenchError: the result is invalid, or not of that commit or track.
    """
    references = References(load_track(track, secret), Store())
    scored = result.read(folder)
    if head is not None and scored.head != head:
        raise result.BadResult(f"it is the result of {scored.head[:12]}, not of {head[:12]}")
    checked = publication.check(references, folder, scored, other_harness=other_harness)
    if repo is not None and scored.entries:
        publication.same_as(Repository(repo), scored, references.track.protocol.packages)
    if only_check:
        return PublishedPull(len(checked), None, 0, {}, references, scored)
    records = publication.merge(references, scored, checked)
    rows = {}
    for entry in (each.result for each in checked):
        entry_id = entry.records[0].entry
        versions.accept(references, entry.name, entry_id)
        rows[entry.name] = find(references, entry.name).entry_id == entry_id
    total = sum(len(each.result.records) for each in checked)
    return PublishedPull(len(checked), records, total - records, rows, references, scored)
