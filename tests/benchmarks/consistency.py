"""How often honest methods are marked inconsistent: shipped ones, their seeds and pairs of splits drawn again.

With ``--measure FILE`` the units of shipped methods run first, on a track that declares no U-LiRA protocol or has no
records: seed units and shadow units in worker processes, all numbers of each kept in FILE. It continues where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from unlearn_bench.harness.entries.entry import Entry, baseline, baseline_names
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import consistency
from unlearn_bench.harness.results.board_entries import board_entries, shadow_records
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units.behaviour import behaviour
from unlearn_bench.harness.units.tuning import tuned
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit
from unlearn_bench.harness.units.worker_runner import WorkerRunner
from unlearn_bench.harness.workflows.training import train_missing
from unlearn_bench.scoring.consistency import NUMBERS, excess

Values = Mapping[str, Sequence[float]]
SEEDS, SPLITS, FORGET_SETS = 2, 2, 1
"""Of ``--measure``."""
REFERENCES = ("retrain", "original")
DEADLINE = 600.0


def drawn(values: Values, rng: np.random.Generator) -> dict[str, Sequence[float]]:
    """Return the values of as many units, drawn with replacement: the same ones for all numbers of as many."""
    picks = {n: rng.integers(0, n, n) for n in sorted({len(column) for column in values.values()})}
    return {name: np.asarray(column)[picks[len(column)]].tolist() for name, column in values.items()}


def stored(references: References) -> Iterator[tuple[str, Values, Values]]:
    """Yield the shipped methods that have shadow units, with the numbers of their seed units and of these."""
    entries = {entry.name: entry for entry in board_entries(references) if entry.kind == "baseline"}
    records = shadow_records(references, list(entries.values()))
    for name in sorted(entries.keys() & records.keys()):
        yield (
            name,
            consistency.seed_values(references, entries[name]),
            consistency.shadow_values(references, records[name]),
        )


def with_shadows(track: str) -> References:
    """Return the references of a track that extends ``track`` by a small U-LiRA protocol, and train what units need."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{track}-shadows.toml"
        path.write_text(f'extends = "{track}"\n\n[protocol]\nlira_splits = 16\nlira_forget_sets = 8\n')
        references = References(load_track(str(path)), Store())
    roles = {role: None for unit in units(references, baseline("ft")) for role in (unit.original, unit.target)}
    with connected(RunOptions()) as executor:
        train_missing(references, [*roles], executor, RunOptions())
    return references


def units(references: References, entry: Entry) -> list[SeedUnit | ShadowUnit]:
    """Return the units of an entry that run."""
    track = references.track
    shadows = [ShadowUnit(entry, track, split, group) for split in range(SPLITS) for group in range(FORGET_SETS)]
    return [*(SeedUnit(entry, track, seed) for seed in range(SEEDS)), *shadows]


def measured(references: References, names: Sequence[str], file: Path) -> Iterator[tuple[str, Values, Values]]:
    """Yield methods with the numbers of their seed and shadow units, which run unless ``file`` has them."""
    known = json.loads(file.read_text()) if file.exists() else {}
    with WorkerRunner(references.track) as runner:
        for name in names:
            if name not in known:
                known[name] = _run(references, tuned(baseline(name), references.track, references.store), runner)
                file.write_text(json.dumps(known, indent=1))
                print(name, "has run", flush=True)
            yield name, known[name]["seed"], known[name]["shadow"]


def _run(references: References, entry: Entry, runner: WorkerRunner) -> dict[str, dict[str, list[float]]]:
    share = consistency.shadow_share(references)
    numbers: dict[str, dict[str, list[float]]] = {"seed": defaultdict(list), "shadow": defaultdict(list)}
    for unit, result in runner.run(units(references, entry), DEADLINE):
        kind = "seed" if isinstance(unit, SeedUnit) else "shadow"
        if result.status != "ok":
            print(f"{unit.label}: {result.status}, {result.reason}", flush=True)
            continue
        of_unit = dict(behaviour(references, unit, result.logits, result.weight_shift))
        of_unit["seconds"] = result.cpu_seconds / (share if kind == "shadow" else 1)
        for name, number in of_unit.items():
            numbers[kind][name].append(number)
    return numbers


def simulate(methods: Iterable[tuple[str, Values, Values]], draws: int) -> dict[str, list[dict[str, float]]]:
    """Return by method, for every draw, how far each number is from being marked: 1 is the limit."""
    rng = np.random.default_rng(0)
    return {
        method: [excess(drawn(seeds, rng), drawn(shadows, rng)) for _ in range(draws)]
        for method, seeds, shadows in methods
    }


def main() -> None:
    """Print the alarms of each method, and how near each number comes to its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--track", default="digits-resnet18")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--measure", type=Path, metavar="FILE")
    parser.add_argument("--methods", nargs="*", default=[name for name in baseline_names() if name not in REFERENCES])
    options = parser.parse_args()
    if options.measure is None:
        methods = stored(References(load_track(options.track), Store()))
    else:
        methods = measured(with_shadows(options.track), options.methods, options.measure)
    found = simulate(methods, options.draws)
    judged = [name for name in NUMBERS if any(name in shares for shares in chain(*found.values()))]
    print(f"{options.track}: {options.draws} draws; the largest share of what is allowed, by number")
    print(f"{'':<10}{'alarms':>8}" + "".join(f"{name:>10}" for name in judged))
    for method, draws in found.items():
        alarms = sum(max(shares.values(), default=0.0) > 1 for shares in draws)
        largest = (max(shares.get(name, np.nan) for shares in draws) for name in judged)
        print(f"{method:<10}{alarms:>8}" + "".join(f"{share:>10.2f}" for share in largest))


if __name__ == "__main__":
    main()
