"""One published unit run again, and whether it agrees with what was published.

The rule: source, parameters and seed are the same, so any difference comes from the machine. Such a difference can be
as large as that between seeds (one rounding sends training elsewhere), but not larger. A number is *consistent* when it
moves by no more than the reproducibility limit of the entry's own seeds (``scoring.reproducibility``), at a level at
which all numbers of a unit together err in 5 % (Bonferroni). Seconds are compared as a ratio, between runs of one
machine, back end and image only, and 20 % are always allowed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from unlearn_bench.harness.entries.entry import Entry, retrain
from unlearn_bench.harness.references.references import References, half
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.board_entries import REFERENCES, BoardEntry
from unlearn_bench.harness.results.review import Rerun, Verdict
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.hardware import timing_class
from unlearn_bench.harness.units import entry_sources, unit_store
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.retrain_times import DRIFT
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.reproducibility import reproducibility_limit

EXAMPLES = 3
"""Examples of a part that may change sides, however little the seeds differ."""
EXIT_CODES: Mapping[Verdict, int] = {"consistent": 0, "inconsistent": 14, "cannot tell": 15}


def metrics() -> list[Metric]:
    """Return the metrics of the model that are compared; seconds are compared beside them."""
    return [metric for metric in metric_table.of_models() if "verify" in metric.shown]


def level() -> float:
    """Level of each reproducibility limit, so that all numbers of a unit together err in 5 % (Bonferroni)."""
    return 1 - 0.05 / (len(metrics()) + 1)


@dataclass(frozen=True)
class RerunDifference:
    """One number of a unit, published and again."""

    metric: str
    published: float
    again: float
    limit: float
    """Largest difference (of seconds: ratio) that is consistent; NaN where nothing can be said."""
    judged: bool
    """Whether the verdict rests on it: seconds of different machines are only shown."""

    @property
    def exceeds(self) -> bool:
        """Whether the difference is larger than its limit."""
        if self.metric == "seconds":
            return self.judged and abs(math.log(self.again / self.published)) > math.log(self.limit)
        return self.judged and abs(self.again - self.published) > self.limit


def published(board_entry: BoardEntry, seed: int) -> Record:
    """Return the record to compare with.

    Raises:
        BenchError: the entry has none of that seed.
    """
    if seed not in board_entry.records:
        seeds = ", ".join(map(str, sorted(board_entry.records)))
        raise BenchError(f"{board_entry.name} has no unit of seed {seed}", "your command", f"seeds: {seeds}", USAGE)
    if board_entry.from_checkpoints:
        what = f"{board_entry.name} was scored from checkpoints: there is no program to run again"
        raise BenchError(what, "your command", "send it in as a file: bench submit", USAGE)
    return board_entry.records[seed]


def entry_of(references: References, board_entry: BoardEntry, given: Entry | None = None) -> Entry:
    """Return the entry as it ran: its source from ``given``, from what ships or from the store, with its parameters.

    Raises:
        BenchError: the source is unknown, or is not the one that was published.
    """
    record = next(iter(board_entry.records.values()))
    if given is not None:
        entry = given
    elif board_entry.name == "retrain":
        entry = retrain(references.track)
    elif (shipped_or_stored := entry_sources.find(references.store, record)) is not None:
        entry = shipped_or_stored
    else:
        remedy = f"give its file: bench verify {board_entry.name}.py"
        raise BenchError(f"the store has no source of {board_entry.name}", "your command", remedy, USAGE)
    entry = entry.with_parameters({k: v for k, v in record.parameters.items() if k in entry.defaults})
    if entry.id != record.entry:
        what = f"this source of {board_entry.name} is not the one that was published ({record.sha256[:16]})"
        raise BenchError(what, "your command", "give the file that was published", USAGE)
    return entry


def judge(
    references: References, board_entry: BoardEntry, record: Record, again: Record
) -> tuple[Rerun, list[RerunDifference], str]:
    """Return the mark, every number that both runs have, and the reason in one line; ``again`` has ended."""
    table: list[RerunDifference] = []
    verdict: Verdict = "inconsistent"
    if record.status != again.status:
        why = f"published as {record.status}, now {again.status}"
    elif record.status != "ok":
        verdict, why = "consistent", f"{again.status} again"
    else:
        table = _differences(references, board_entry, record, again)
        exceeding = [difference.metric for difference in table if difference.exceeds]
        judged = [difference for difference in table if difference.judged and not math.isnan(difference.limit)]
        if _identical(references, record, again):
            verdict, why = "consistent", "every output is the same to the last digit"
        elif exceeding:
            why = f"{', '.join(exceeding)} moved by more than the entry's seeds explain"
        elif any(difference.metric != "seconds" for difference in judged):
            verdict, why = "consistent", "every number lies within the spread of the entry's own seeds"
        else:
            verdict, why = "cannot tell", "fewer than three seeds have numbers to compare with"
    differences = tuple(
        {"metric": d.metric, "published": d.published, "again": d.again,
         "limit": None if math.isnan(d.limit) else d.limit, "judged": d.judged}
        for d in table
    )  # fmt: skip
    rerun = Rerun(record.seed, verdict, again.date, record.date, dict(again.environment), differences)
    return rerun, table, why


def _differences(
    references: References, board_entry: BoardEntry, record: Record, again: Record
) -> list[RerunDifference]:
    by_seed = {seed: _scores(references, board_entry, unit) for seed, unit in board_entry.records.items()}
    logits = unit_store.logits(references.store, again)
    before = by_seed[record.seed]
    now = None if logits is None else scores.score(references, record.seed, logits)
    finished = [seed_scores for seed_scores in by_seed.values() if seed_scores is not None]
    differences = []
    if before is not None and now is not None:
        for metric in metrics():
            name = metric.name
            if name == "retdev" and board_entry.kind == "reference":
                continue  # 0 by definition
            if name not in before.metrics or name not in now.metrics:
                continue
            values = [each.metrics[name] for each in finished if name in each.metrics]
            limit = reproducibility_limit(values, level(), _least(references, record.seed, metric))
            differences.append(RerunDifference(name, before.metrics[name], now.metrics[name], limit, True))
    if record.seconds and again.seconds:
        log_seconds = [math.log(unit.seconds) for unit in board_entry.records.values() if unit.seconds]
        classes = {timing_class(unit.environment) for unit in (record, again)}
        limit = reproducibility_limit(log_seconds, level(), math.log(1 + 2 * DRIFT))
        differences.append(
            RerunDifference("seconds", record.seconds, again.seconds, math.exp(limit), len(classes) == 1)
        )
    return differences


def _scores(references: References, board_entry: BoardEntry, record: Record) -> Scores | None:
    if board_entry.kind == "reference":  # such a unit is only timed: its numbers are those of the reference model
        return scores.reference_scores(references, REFERENCES[board_entry.name], record.seed)
    return scores.record_scores(references, record)


def _least(references: References, seed: int, metric: Metric) -> float:
    part_sizes = {part: len(indices) for part, indices in references.examples.split(seed).parts().items()}
    return sum(EXAMPLES / part_sizes[part] for part in metric.parts)


def _identical(references: References, record: Record, again: Record) -> bool:
    if record.logits is None or (new := unit_store.logits(references.store, again)) is None:
        return False
    return record.logits in (again.logits, hashlib.sha256(unit_store.pack(half(new))).hexdigest())
