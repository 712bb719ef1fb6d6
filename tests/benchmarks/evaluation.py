"""Evaluating one model: all logits in one pass against a pass over a loader for every number.

The peer runs eight passes, as published code does: accuracy on R, F, V and T, and the losses of each for a membership
inference attack, with gradients on. Ours infers every example once; every number is read from the stored logits.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
import torch

from tests.benchmarks import plain
from tests.benchmarks.training import case, cpu_seconds, threaded
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.memory import keep_memory
from unlearn_bench.sandbox.inside.models import build
from unlearn_bench.scoring.accuracy import margins


def compare(name: str, options: argparse.Namespace) -> None:
    chosen = case(name, 10_000)
    rows = np.arange(min(options.examples, len(chosen.dataset.labels)))
    parts = np.split(rows, [len(rows) * 6 // 10, len(rows) * 7 // 10, len(rows) * 85 // 100])
    images, labels = chosen.dataset.images[rows], chosen.dataset.labels[rows]
    model = build(chosen.track.model_spec)
    to_input = normaliser(chosen.track, options.device)

    def eight_passes() -> None:
        plain.evaluate(model, chosen.pictures, parts, options.device, options.workers)

    def one_pass() -> None:
        logits = infer(model, torch.from_numpy(images), to_input, options.device)
        right = logits.argmax(1) == labels
        for part in parts:
            right[part].mean(), margins(logits[part], labels[part])

    ways = {"plain, 8 passes": eight_passes, "ours, 1 pass": one_pass}
    wall: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    with threaded(1):
        for turn in range(options.rounds + 1):
            for way, run in ways.items():
                start, used = time.perf_counter(), cpu_seconds()
                run()
                if turn:  # the first one warms up
                    wall[way].append(time.perf_counter() - start)
                    cpu[way].append(cpu_seconds() - used)
    print(f"\n{name}, {len(rows)} examples, {options.device}, {options.rounds} rounds, median, one thread; "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'':<18}{'CPU s':>9}{'ratio':>8}{'wall s':>9}{'ratio':>8}")
    middle = {way: (statistics.median(cpu[way]), statistics.median(wall[way])) for way in ways}
    first = middle["plain, 8 passes"]
    for way, (c, w) in middle.items():
        print(f"{way:<18}{c:>9.3f}{first[0] / c:>7.1f}×{w:>9.3f}{first[1] / w:>7.1f}×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["digits", "resnet18"], metavar="CASE")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of the peer's DataLoader")
    parser.add_argument("--examples", type=int, default=1024)
    options = parser.parse_args()
    keep_memory()  # as the processes do that evaluate reference models
    for name in options.cases:
        compare(name, options)


if __name__ == "__main__":
    main()
