"""How often honest methods are marked inconsistent: shipped ones, their seeds and pairs of splits drawn again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import consistency
from unlearn_bench.harness.results.board_entries import board_entries, shadow_records
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.scoring.consistency import NUMBERS, excess

Values = Mapping[str, Sequence[float]]


def drawn(values: Values, rng: np.random.Generator) -> dict[str, Sequence[float]]:
    """Return the values of as many units, drawn with replacement: the same ones for all numbers of as many."""
    picks = {n: rng.integers(0, n, n) for n in sorted({len(column) for column in values.values()})}
    return {name: np.asarray(column)[picks[len(column)]].tolist() for name, column in values.items()}


def simulate(references: References, draws: int) -> dict[str, list[dict[str, float]]]:
    """Return by method, for every draw, how far each number is from being marked: 1 is the limit."""
    entries = {entry.name: entry for entry in board_entries(references) if entry.kind == "baseline"}
    records = shadow_records(references, list(entries.values()))
    rng = np.random.default_rng(0)
    found = {}
    for name in sorted(entries.keys() & records.keys()):
        seeds = consistency.seed_values(references, entries[name])
        shadows = consistency.shadow_values(references, records[name])
        found[name] = [excess(drawn(seeds, rng), drawn(shadows, rng)) for _ in range(draws)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--track", default="digits-resnet18")
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    found = simulate(References(load_track(options.track), Store()), options.draws)
    judged = [name for name in NUMBERS if any(name in shares[0] for shares in found.values())]
    print(f"{options.track}: {options.draws} draws; the largest share of what is allowed, by number")
    print(f"{'':<10}{'alarms':>8}" + "".join(f"{name:>10}" for name in judged))
    for method, draws in found.items():
        alarms = sum(max(shares.values(), default=0.0) > 1 for shares in draws)
        largest = (max(shares.get(name, np.nan) for shares in draws) for name in judged)
        print(f"{method:<10}{alarms:>8}" + "".join(f"{share:>10.2f}" for share in largest))


if __name__ == "__main__":
    main()
