"""What the panel costs: each attack on models per unit of the default track, ε per example, and KLoM in whole."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.scoring.evidence import real
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.attacks import klom
from unlearn_bench.scoring.epsilon import epsilons

ROUNDS = 7


def every_rule(own: np.ndarray, reference: np.ndarray) -> float:
    """ε with each of the competition's 160,000 intervals compared with each value, as its code does, in numpy."""
    narrow, wide = sorted((own, reference), key=np.ptp)
    width = np.ptp(narrow)
    right = np.repeat(np.linspace(narrow.min() + width - 2, narrow.max() + 2, 400), 400)
    left = (np.linspace(-2, 2, 400) + np.linspace(narrow.min() - 2, narrow.max() - width + 2, 400)[:, None]).ravel()
    fnr = 1 - ((left <= narrow[:, None]) & (narrow[:, None] <= right)).mean(axis=0)
    fpr = ((left <= wide[:, None]) & (wide[:, None] <= right)).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.fmax(np.log(1 - 1e-5 - fpr) - np.log(fnr), np.log(1 - 1e-5 - fnr) - np.log(fpr))
    return float(np.max(bound[fnr * fpr > 1e-9], initial=0.0))


def main() -> None:
    rng = np.random.default_rng(0)
    own, reference = rng.normal(size=(2, 64))
    margins = rng.normal(size=(2, 5000, 256)).astype(np.float32)
    unit = real("null", 0)
    ways: dict[str, Callable[[], object]] = {
        "ε, N = 64, an example": lambda: epsilons(own[None], reference[None]),
        "ε, N = 64, an example, all rules": lambda: every_rule(own, reference),
        "KLoM, 5,000 examples × 256 models": lambda: klom.smoothed(*klom.histograms(*margins)),
    }
    for name in panel.names():
        attack = panel.load(name)
        if attack.models == "model":
            # A copy each time: what an attack derives from the logits is part of its price.
            ways[f"{attack.title}, a unit"] = lambda attack=attack: attack.run(replace(unit))

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn:  # the first one warms caches
                seconds[name].append(time.process_time() - start)
    print(f"{ROUNDS} rounds interleaved, CPU milliseconds")
    print(f"{'':<36}{'median':>9}{'min':>9}")
    for name, found in seconds.items():
        print(f"{name:<36}{1e3 * statistics.median(found):>9.2f}{1e3 * min(found):>9.2f}")


if __name__ == "__main__":
    main()
