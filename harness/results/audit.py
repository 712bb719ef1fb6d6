"""Whether an entry does better on the public seeds than on fresh ones."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.hardware import timing_class
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record, track_folder
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.unpaired import UnpairedDifference, unpaired_difference


def level() -> float:
    """Level of the intervals that the verdict rests on: together they err in 5 %, half of it as fitting."""
    return 1 - 0.05 / len(metric_table.judged())


def metrics() -> list[Metric]:
    """Return the metrics that are compared: those that are judged, and those shown beside them."""
    judged = metric_table.judged()
    return [*judged, *(metric for metric in metric_table.shown("audit") if metric not in judged)]


@dataclass(frozen=True)
class FreshSeeds:
    """Random seeds that no participant can have known."""

    splits: int
    recipe: int
    protocol: int


def fresh_track(store: Store, track: Track, seeds: int, again: bool = False) -> Track:
    """Return the track with split, model and run seeds that no participant knows: drawn once and kept, or ``again``.

    Raises:
        TrackError: a file lists the track's splits, so that no other can be drawn.
    """
    if track.splits.rule == "file":
        raise TrackError(f"a file lists the splits of {track.name}, and an audit draws fresh ones", "use another track")
    kind = f"audits/{track_folder(track)}"
    drawn = None if again else documents.read(store, kind, "seeds", FreshSeeds)
    if drawn is None:
        drawn = FreshSeeds(secrets.randbits(63), secrets.randbits(63), secrets.randbits(63))
        documents.write(store, kind, "seeds", drawn)
    return replace(
        track,
        name=f"{track.name}-audit",
        splits=replace(track.splits, seed=drawn.splits),
        recipe=replace(track.recipe, seed=drawn.recipe),
        protocol=replace(track.protocol, seed=drawn.protocol, seeds=seeds),
    )


def estimate(store: Store, entry: Entry, track: Track, todo: int, seeds: int) -> float | None:
    """Return the seconds of ``todo`` units of an entry and Retrain on ``seeds`` seeds; ``None`` before any ran."""
    seed_records = records(References(track, store), entry)
    times = [
        (record.seconds, record.retrain_seconds) for record in seed_records if record.seconds and record.retrain_seconds
    ]
    if not times:
        return None
    entry_seconds, retrain_time = (sum(values) / len(times) for values in zip(*times, strict=True))
    return todo * entry_seconds + seeds * retrain_time


def records(references: References, entry: Entry) -> list[Record]:
    """Return the records of an entry's seed units."""
    track = references.track
    stored = [unit_store.find(references.store, SeedUnit(entry, track, seed)) for seed in range(track.protocol.seeds)]
    return [record for record in stored if record is not None]


def changes(public: References, fresh: References, entry: Entry) -> list[UnpairedDifference]:
    """Return every metric on both sets of seeds; speeds only where one machine measured both the same way."""
    sides = [(references, records(references, entry)) for references in (public, fresh)]
    values = [_values(references, side_records) for references, side_records in sides]
    classes = {timing_class(record.environment) for _, side_records in sides for record in side_records}
    differences = []
    for metric in metrics():
        if metric.reads == "run" and len(classes) > 1:
            continue
        measured = [side_values[metric.name] for side_values in values]
        if all(measured):
            lower = metric.better == "low"
            differences.append(
                unpaired_difference(metric.name, *measured, lower_is_better=lower, ratio=metric.ratio, level=level())
            )
    return differences


def fitted(differences: list[UnpairedDifference]) -> list[str]:
    """Return the judged metrics that are significantly better on the public seeds."""
    judged = {metric.name for metric in metric_table.judged()}
    return [each.metric for each in differences if each.metric in judged and each.better]


def nulls(public: References, fresh: References) -> Mapping[str, tuple[float, float]]:
    """Return the nulls on both sets of seeds: how much harder one is than the other."""
    by_metric = {}
    for metric in metric_table.judged():
        if metric.null:
            means = [scores.null_mean(references, metric.name) for references in (public, fresh)]
            if not any(map(math.isnan, means)):
                by_metric[metric.name] = (means[0], means[1])
    return by_metric


def _values(references: References, seed_records: list[Record]) -> dict[str, list[float]]:
    """Metric → its values on the seeds that have one."""
    scored = [(scores.record_scores(references, record), record) for record in seed_records]
    values = {metric.name: [scores.value(metric, *seed) for seed in scored] for metric in metrics()}
    return {name: [value for value in by_seed if value is not None] for name, by_seed in values.items()}
