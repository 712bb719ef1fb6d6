"""How often the intervals and bands of a board hold what they promise: simulated, with the examples held fixed.

Each example has a mean and a spread of φ; what is forgotten is raised by an effect in units of the spread. ``shared``
is the part of the spread by which the models of a pair of splits, or of a seed, move all examples together.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from unlearn_bench.harness.units.shadow_units import LEAST_PAIRS
from unlearn_bench.scoring.accuracy import Accuracies
from unlearn_bench.scoring.forgetting import Reading, forgetting
from unlearn_bench.scoring.intervals import mean_intervals
from unlearn_bench.scoring.retention import retention
from unlearn_bench.scoring.ulira import null_band, ulira
from unlearn_bench.scoring.umia import indiscernibility, umia

EXAMPLES = 400
PAIRS = (4, 8, 16, 32)
EFFECTS = (0.0, 0.5, 1.0, 2.0)
SHARED = (0.0, 0.1, 0.3)
NARROW = (0.015, 0.02, 0.03, 0.05)
SEEDS = (4, 10)
PARTS = (768, 128, 384)
"""Examples of R, F and T."""
POOL = 1000
"""Independent seeds of which boards are drawn."""


class Population:
    """Examples whose φ has a fixed mean and spread, under models that did and did not learn them."""

    def __init__(self, effect: float, shared: float, examples: int = EXAMPLES) -> None:
        fixed = np.random.default_rng(0)
        self.mean, self.spread = fixed.normal(3, 2.5, (examples, 1)), fixed.gamma(4, 0.4, (examples, 1))
        self.raised, self.shared = effect * np.abs(fixed.normal(0, 0.8, (examples, 1))), shared

    def phi(self, rng: np.random.Generator, models: int, learnt: bool) -> np.ndarray:
        """φ [examples, models]."""
        moved = rng.normal(size=(len(self.mean), models)) + self.shared * rng.normal(size=models)
        return np.asarray(self.mean + self.spread * (moved + self.raised * learnt))


def attacks(rng: np.random.Generator, pairs: int, effect: float, shared: float, runs: int) -> list[np.ndarray]:
    """U-LiRA's accuracies by pair [pairs] and its interval, in each of the runs."""
    examples = Population(effect, shared)
    found = [ulira(examples.phi(rng, pairs, True), examples.phi(rng, pairs, False)) for _ in range(runs)]
    return [np.array([*each.pair_accuracies, each.low, each.high]) for each in found]


def of_ulira(runs: int) -> None:
    """Print how often U-LiRA's interval holds its expectation, and its null band another perfect unlearner."""
    print(f"{'shared':>6} {'pairs':>5}" + "".join(f"{f'effect {effect:g}':>12}" for effect in EFFECTS) + "   null band")
    for shared in SHARED:
        for pairs in PAIRS:
            rng, cells = np.random.default_rng(1), []
            for effect in EFFECTS:
                table = np.array(attacks(rng, pairs, effect, shared, runs))
                means = table[:, :pairs].mean(axis=1)
                holds = (table[:, pairs] <= means.mean()) & (means.mean() <= table[:, pairs + 1])
                cells.append(f"{holds.mean():12.3f}")
                if effect == 0:
                    bands = np.array([null_band(row) for row in table[:, :pairs]])
                    inside = float(((bands[:, :1] <= means) & (means <= bands[:, 1:])).mean())
            print(f"{shared:6.1f} {pairs:5d}{''.join(cells)}{inside:12.3f}", flush=True)


def of_stopped(runs: int, shared: float = 0.1) -> None:
    """Print how often U-LiRA's interval holds its expectation at the pairs after which a run with ``--narrow`` ends."""
    print(f"{'pairs':>6} {'narrow':>6}" + "".join(f"{f'effect {effect:g}':>12}" for effect in EFFECTS) + "   pairs run")
    for pairs in (8, 32):
        rng = np.random.default_rng(3)
        tables = [looks(rng, Population(effect, shared), pairs, runs) for effect in EFFECTS]
        for narrow in NARROW:
            cells, ran = [], []
            for table in tables:
                accuracy, half = table[:, :, 0], table[:, :, 1]
                enough = half <= narrow
                enough[:, -1] = True
                last = np.arange(runs), enough.argmax(axis=1)
                cells.append(np.mean(np.abs(accuracy[last] - accuracy.mean(axis=0)[last[1]]) <= half[last]))
                ran.append(f"{LEAST_PAIRS + last[1].mean():.1f}")
            print(
                f"{pairs:6d} {narrow:6.3f}{''.join(f'{cell:12.3f}' for cell in cells)}   {', '.join(ran)}", flush=True
            )


def looks(rng: np.random.Generator, examples: Population, pairs: int, runs: int) -> np.ndarray:
    """Accuracy and half-width of a run that stops there [runs, looks, 2], by pairs so far; the last one is full."""
    table = np.empty((runs, pairs - LEAST_PAIRS + 1, 2))
    for run in range(runs):
        forgotten, never = examples.phi(rng, pairs, True), examples.phi(rng, pairs, False)
        for look in range(table.shape[1]):
            so_far = LEAST_PAIRS + look
            found = ulira(forgotten[:, :so_far], never[:, :so_far], stopped=so_far < pairs)
            table[run, look] = found.accuracy, (found.high - found.low) / 2
    return table


def of_seeds(runs: int, shared: float = 0.1) -> None:
    """Print how often Student's intervals over seeds hold the expectations of RetDev and of Indisc."""
    print(f"{'':>6} {'seeds':>5}" + "".join(f"{f'effect {effect:g}':>12}" for effect in EFFECTS))
    rng = np.random.default_rng(4)
    pools = [np.array([of_one_seed(rng, effect, shared) for _ in range(POOL)]) for effect in EFFECTS]
    for column, name in enumerate(("RetDev", "Indisc")):
        for count in SEEDS:
            cells = []
            for pool in pools:
                drawn = np.array([rng.choice(pool[:, column], count, replace=False) for _ in range(runs)])
                _, low, high = mean_intervals(drawn)
                expected = pool[:, column].mean()
                cells.append(f"{np.mean((low <= expected) & (expected <= high)):12.3f}")
            print(f"{name:>6} {count:5d}{''.join(cells)}", flush=True)


def of_one_seed(rng: np.random.Generator, effect: float, shared: float) -> tuple[float, float]:
    """RetDev and Indisc of a model that is like a retrained one, but for the effect on F."""
    ends = np.cumsum(PARTS)
    examples = Population(effect, shared, ends[-1])
    examples.raised[: ends[0]] = examples.raised[ends[1] :] = 0
    unlearned, retrained = (np.split(examples.phi(rng, 1, raised)[:, 0], ends[:-1]) for raised in (True, False))
    sides = [Accuracies(*(float((part > 0).mean()) for part in (r, f, t, t))) for r, f, t in (unlearned, retrained)]
    forgotten, unseen = (np.logaddexp(0, -part) for part in unlearned[1:])
    return retention(*sides).retdev, indiscernibility(umia(forgotten, unseen))


def of_forgetting(runs: int, seeds: Sequence[int] = SEEDS, attackers: int = 4) -> None:
    """Print how often Forgetting's interval holds the worst of independent attacks, one of which finds something."""
    print(f"{'seeds':>6}" + "".join(f"{f'left {left:g}':>12}" for left in (0.0, 0.2, 0.5, 1.0)))
    for count in seeds:
        rng, cells = np.random.default_rng(2), []
        for left in (0.0, 0.2, 0.5, 1.0):
            held = 0
            for _ in range(runs):
                shares = [left] + [0.0] * (attackers - 1)
                sides = [[rng.normal(0.5 + 0.2 * share, 0.03, count) for share in (own, 0.0, 1.0)] for own in shares]
                found = forgetting([Reading(str(k), "seed", *each) for k, each in enumerate(sides)])
                held += found is None or found.low <= left <= found.high
            cells.append(f"{held / runs:12.3f}")
        print(f"{count:6d}{''.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    print("U-LiRA's 95 % interval, and its null band")
    of_ulira(runs)
    print("The same where a run stops once it is narrow enough")
    of_stopped(runs)
    print("Student's 95 % intervals over seeds")
    of_seeds(runs)
    print("Forgetting's 95 % interval")
    of_forgetting(runs)


if __name__ == "__main__":
    main()
