"""Scoring shadow models: seconds on one thread and peak memory, beside a loop that fits each example with scipy."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from unlearn_bench.scoring.shadows import Columns, Design, design, gather
from unlearn_bench.scoring.ulira import ulira


@dataclass(frozen=True)
class Case:
    """One attack at one size. ``run`` is timed; ``peer``, if there is one, does the same on the first examples."""

    name: str
    design: Design
    run: Callable[[Design, np.ndarray], object]
    peer: Callable[[Columns, int], object] | None = None


def drawn(shadows: Design) -> np.ndarray:
    """φ float32 [S, G, n], as the units of all splits store it."""
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((shadows.splits, shadows.forget_sets, shadows.population), dtype=np.float32)
    phi *= rng.gamma(4.0, 0.4, shadows.population).astype(np.float32)
    phi += rng.normal(3.0, 2.5, shadows.population).astype(np.float32)
    return phi


def gathered_ulira(shadows: Design, phi: np.ndarray) -> object:
    columns = gather(shadows, phi)
    return ulira(columns.forgotten, columns.never)


def lira(shadows: Design, phi: np.ndarray) -> object:
    return ulira(phi[0::2, 0].T, phi[1::2, 0].T)


def in_sample_loop(columns: Columns, examples: int) -> object:
    """What published attacks do per example: fit two Gaussians to all values, and score those values."""
    right = 0.0
    for f, u in zip(columns.forgotten[:examples], columns.never[:examples], strict=True):
        first, second = norm.fit(f), norm.fit(u)
        for values, sign in ((f, 1.0), (u, -1.0)):
            right += (sign * (norm.logpdf(values, *first) - norm.logpdf(values, *second)) > 0).mean()
    return right


def held_out_loop(columns: Columns, examples: int) -> object:
    """The same with a pair left out of every fit."""
    right = 0
    for f, u in zip(columns.forgotten[:examples], columns.never[:examples], strict=True):
        for pair in range(len(f)):
            first, second = norm.fit(np.delete(f, pair)), norm.fit(np.delete(u, pair))
            right += norm.logpdf(f[pair], *first) > norm.logpdf(f[pair], *second)
            right += norm.logpdf(u[pair], *first) < norm.logpdf(u[pair], *second)
    return right


def cases() -> list[Case]:
    paper = design(47_500, 64, 10, seed=0)
    return [
        Case("gather 640 × 47,500", paper, gather),
        Case("gather + U-LiRA 640 × 47,500", paper, gathered_ulira, in_sample_loop),
        Case("  the same, pairs held out", paper, gathered_ulira, held_out_loop),
        # 256 models, 128 pairs: LiRA proper, so that nothing is gathered.
        Case("LiRA 256 × 5,000", design(5_000, 256, 1, seed=0), lira),
        Case("U-LiRA of the default track", design(1_024, 16, 8, seed=0), gathered_ulira, held_out_loop),
    ]


def storage() -> str:
    """What is kept of a full-size attack, against the peer's softmax of every class in float64."""
    population, splits, forget_sets, classes = 47_500, 64, 10, 10
    models = splits * forget_sets
    phi = np.dtype(np.float32).itemsize * models * population
    peer = np.dtype(np.float64).itemsize * models * population * classes
    return (
        f"stored of {models} × {population:,}: {phi / 1e6:.0f} MB of φ, softmax {peer / 1e6:.0f} MB: {peer / phi:.0f}×"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--examples", type=int, default=100, help="examples of the peer's loop, extrapolated to all")
    options = parser.parse_args()
    print(f"CPU seconds, best of {options.repeats}; the peer's from {options.examples} examples")
    print(f"{'case':<30}{'input MB':>9}{'seconds':>9}{'peak MB':>9}{'peer':>9}{'ratio':>8}")
    for case in cases():
        phi = drawn(case.design)
        times, peers = [], []
        columns = gather(case.design, phi) if case.peer else None
        for _ in range(options.repeats):
            start = time.process_time()
            case.run(case.design, phi)
            times.append(time.process_time() - start)
            if case.peer is not None and columns is not None:
                start = time.process_time()
                case.peer(columns, options.examples)
                peers.append((time.process_time() - start) * case.design.population / options.examples)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of the process, input and imports included
        line = f"{case.name:<30}{phi.nbytes / 1e6:>9.0f}{min(times):>9.3f}{peak:>9.0f}"
        print(line + (f"{min(peers):>9.1f}{min(peers) / min(times):>8.0f}" if peers else ""))
    print(storage())


if __name__ == "__main__":
    main()
