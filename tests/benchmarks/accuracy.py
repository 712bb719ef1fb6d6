"""Test accuracy of ours against the plain float32 loop: same examples, recipe and initial weights.

Run to run both differ by more than half a point on a small test set, so say how many seeds; the interval is that of
the mean difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
from scipy import stats
from torch import nn

from tests.benchmarks import plain
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.training.gpu import GpuTrainer
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.interleaved import MOST
from unlearn_bench.harness.training.recipe import initial_model
from unlearn_bench.harness.training.task import train_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--track", default="fashionmnist-mini", help="a track whose data is in BENCH_DATA")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's, with the schedule's end there")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--emulate", action="store_true", help="bfloat16 on a CPU that only emulates it: slow")
    parser.add_argument("--resident", action="store_true", help="on a CPU, the way that a GPU goes, but for graphs")
    parser.add_argument("--compiled", action="store_true", help="with --resident: with compiled steps as well")
    parser.add_argument("--workers", type=int, default=0, help="of the plain loop's loader")
    options = parser.parse_args()
    if options.compiled and options.device == "cpu" and not options.resident:
        parser.error("--compiled: on a CPU with --resident only")
    torch.set_num_threads(1)
    track = load_track(options.track)
    recipe = replace(track.recipe, epochs=options.epochs or track.recipe.epochs)
    references = References(replace(track, recipe=recipe), Store())
    print(
        f"{options.track}, {options.seeds} seeds, {recipe.epochs} epochs, {options.device}: test accuracy", flush=True
    )
    found: list[float] = []
    for seed in range(options.seeds):
        found.append(plainly(references, seed, options.device, options.workers))
        print(f"plain, seed {seed}: {found[-1]:.4f}", file=sys.stderr, flush=True)  # an hour's run may be cut
    show("plain", found, None)
    for precision in options.precision:
        with ExitStack() as stack:
            if options.emulate and precision == "bfloat16":
                stack.enter_context(
                    patch(
                        "unlearn_bench.harness.training.step.uses_bfloat16",
                        lambda recipe, _: recipe.precision == "bfloat16",
                    )
                )
            for compiled in (False, True) if options.compiled else (False,):
                name = f"ours, {precision}{', compiled' if compiled else ''}"
                changed = References(replace(references.track, recipe=replace(recipe, precision=precision)), Store())
                gpu = None
                if options.resident or options.device != "cpu":
                    gpu = GpuTrainer(changed, options.device, min(options.seeds, MOST), compiled)
                show(name, ours(changed, options.seeds, options.device, gpu), found)


def show(name: str, values: Sequence[float], others: Sequence[float] | None) -> None:
    """A line of the table as soon as it is known, and one of the difference to ``others``."""
    print(f"{name:<24} {np.mean(values):.4f}  " + " ".join(f"{value:.3f}" for value in values), flush=True)
    if others is not None:
        print(f"{'':<24} {difference(values, others)}", flush=True)


def difference(values: Sequence[float], others: Sequence[float]) -> str:
    """Mean difference of paired values in points, with its 95 % interval (Student's t)."""
    gaps = 100 * (np.array(values) - np.array(others))
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5
    return f"{gaps.mean():+.2f} ± {half:.2f} points"


def accuracy(references: References, model: nn.Module, seed: int, device: str) -> float:
    rows = references.examples.split(seed).test
    images, labels = references.examples.dataset.images[rows], references.examples.dataset.labels[rows]
    logits = infer(model, torch.from_numpy(images), normaliser(references.track, device), device)
    return float((logits.argmax(1) == labels).mean())


def plainly(references: References, seed: int, device: str, workers: int) -> float:
    track, data, role = references.track, references.examples.dataset, Role("original", seed)
    channels = track.model_spec.get("channels", 3)
    pictures = plain.Pictures(data.images, data.labels, track.data.mean, track.data.std, channels)
    model = initial_model(track, role)
    torch.manual_seed(seed)
    plain.train(model, pictures, references.examples.training_set(role), track.recipe, device, workers)
    return accuracy(references, model, seed, device)


def ours(references: References, seeds: int, device: str, gpu: GpuTrainer | None) -> list[float]:
    """As ``bench prepare`` trains them: several at once where that is faster."""
    models = train_task(references, [Role("original", seed) for seed in range(seeds)], gpu=gpu)
    return [accuracy(references, model, seed, device) for seed, model in enumerate(models)]


if __name__ == "__main__":
    main()
