"""The ordered list of work, and the table of what is done of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.campaign.models import ReferenceModels, Search
from tests.benchmarks.campaign.step import Left, Run, Step
from tests.benchmarks.campaign.unit_steps import SeedUnits, ShadowRows, ShadowUnits, TimedUnits
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.support.progress import span
from unlearn_bench.harness.tracks.loading import load_track

TRACKS = ("cifar10-resnet18", "cifar10-tinyvit", "cifar100-resnet18", "fashionmnist-resnet18")
FIRST_SEEDS = 3
"""Seeds whose reference models are trained before those of the others, for a first look."""

logger = logging.getLogger(__name__)


def steps(run: Run, tracks: Sequence[str]) -> list[Step]:
    """Return the list of work, track by track."""
    in_order: list[Step] = []
    for name in tracks:
        references = References(load_track(name), Store())
        protocol = references.track.protocol
        first = min(FIRST_SEEDS, protocol.seeds)
        in_order += [ReferenceModels(run, references, seeds) for seeds in sorted({first, protocol.seeds})]
        in_order += [kind(run, references) for kind in (Search, SeedUnits, TimedUnits)]
        if protocol.lira_splits:
            in_order += [ShadowUnits(run, references), ShadowRows(run, references)]
    return in_order


def work(in_order: Sequence[Step], left: Left) -> list[BenchError]:
    """Work through the list until nothing is left that can be done in time.

    Returns:
        Why steps failed; the other tracks were worked on nevertheless.
    """
    failures: list[BenchError] = []
    failed: set[str] = set()
    for step in in_order:
        track = step.references.track.name
        if track in failed or not step.pending():
            continue
        reason = step.obstacle()
        if not reason and step.least() > left():
            reason = f"it needs {span(step.least())}, and {span(left())} are left"
        if reason:
            logger.info("%s: no %s now: %s", track, step.title, reason)
            continue
        logger.info("%s: %s, %d %s to do", track, step.title, step.pending(), step.counted)
        try:
            step.work(left)
        except BenchError as error:  # of this track, such as a data set that is missing
            logger.error("%s: %s", track, error.format_message())
            failures.append(error)
            failed.add(track)
    return failures


def table(in_order: Sequence[Step]) -> list[str]:
    """Return the list with what is done, and about how long the rest takes."""
    lines = [f"{'track':<24}{'work':<26}{'done':>14}  {'still to run':<14}"]
    for step in in_order:
        total, pending = step.total(), step.pending()
        title = step.title
        if isinstance(step, ReferenceModels):
            title += f", {step.seeds} seeds"
        seconds = step.seconds()
        cost = "" if not pending else "not known" if seconds is None else f"about {span(seconds)}"
        done = f"{total - pending} of {total}"
        lines.append(f"{Path(step.references.track.name).stem:<24}{title:<26}{done:>14}  {cost:<14}".rstrip())
    return lines


def needed_blobs(in_order: Sequence[Step]) -> list[str]:
    """Return the files that pending work reads, by their SHA-256, those that it reads first in front."""
    wanted: list[str] = []
    for step in in_order:
        stored = step.references.manifest.roles
        for role in step.models():
            model = stored.get(role.name)
            if model is not None:
                wanted += [model.logits] if role.kind == "tuning-retrained" else [model.weights or "", model.logits]
    return [sha for sha in dict.fromkeys(wanted) if sha]
