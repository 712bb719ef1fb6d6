"""How often the intervals and bands of a board hold what they promise: simulated, with the examples held fixed.

Each example has a mean and a spread of φ; what is forgotten is raised by an effect in units of the spread. ``shared``
is the part of the spread by which the models of a pair of splits move all examples together.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from unlearn_bench.scoring.forgetting import Reading, forgetting
from unlearn_bench.scoring.ulira import null_band, ulira

EXAMPLES = 400
PAIRS = (4, 8, 16, 32)
EFFECTS = (0.0, 0.5, 1.0, 2.0)
SHARED = (0.0, 0.1, 0.3)


def attacks(rng: np.random.Generator, pairs: int, effect: float, shared: float, runs: int) -> list[np.ndarray]:
    """U-LiRA's accuracies by pair [pairs] and its interval, in each of the runs."""
    fixed = np.random.default_rng(0)
    mean, spread = fixed.normal(3, 2.5, (EXAMPLES, 1)), fixed.gamma(4, 0.4, (EXAMPLES, 1))
    raised = effect * np.abs(fixed.normal(0, 0.8, (EXAMPLES, 1)))

    def side(shift: np.ndarray | float) -> np.ndarray:
        moved = rng.normal(size=(EXAMPLES, pairs)) + shared * rng.normal(size=pairs) + shift
        return np.asarray(mean + spread * moved)

    found = [ulira(side(raised), side(0.0)) for _ in range(runs)]
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


def of_forgetting(runs: int, seeds: Sequence[int] = (4, 10), attackers: int = 4) -> None:
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
    print("Forgetting's 95 % interval")
    of_forgetting(runs)


if __name__ == "__main__":
    main()
