"""Baselines beside their authors' code, restated: accuracies and losses of both, with paired t tests."""

from __future__ import annotations

import argparse

import torch
from scipy import stats

from tests.baselines import conftest
from tests.baselines.ports.peers import MEASURES, SETTINGS, compare


def main() -> None:
    """Print a row per method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=sorted(SETTINGS))
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    digits = conftest.rotated_digits()
    original = conftest.train_original(digits)
    loaders = conftest.ordinary_loaders(digits)
    print("| method | " + " | ".join(f"{measure}: ours, theirs, t" for measure in MEASURES) + " |")
    print("|---" * (1 + len(MEASURES)) + "|")
    for name in arguments.names:
        ours, theirs = compare(name, arguments.seeds, original, digits, loaders)
        t = stats.ttest_rel(ours.double().numpy(), theirs.double().numpy()).statistic
        cells = [f"{a:.3f}, {b:.3f}, {c:+.1f}" for a, b, c in zip(ours.mean(0), theirs.mean(0), t, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
