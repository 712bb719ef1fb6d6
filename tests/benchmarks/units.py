"""What a unit costs beside the method, and how well its time repeats, on the default track."""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch

from unlearn_bench.harness.entries.entry import Entry, baseline, retrain
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext, run
from unlearn_bench.sandbox import backends


def measure(bench: UnitContext, entry: Entry, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds inside the clock and outside it, of repeated units of one seed on one core."""
    core = max(os.sched_getaffinity(0))
    inside, outside = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        record = run(bench, SeedUnit(entry, bench.references.track, 0), Slot(cores=(core,)), None, 600.0)
        assert record.seconds is not None, record.reason
        inside.append(record.seconds)
        outside.append(time.perf_counter() - start - record.seconds)
    return inside[1:], outside[1:]  # the first one warms the disk cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="docker")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    track = load_track("digits-resnet18")
    bench = UnitContext(References(track, Store()), backends.load(options.sandbox), run_id="benchmark")
    print(f"{options.sandbox}, {options.repeats} repeats, one core, seconds")
    print(f"{'entry':<10}{'inside the clock':>18}{'min–max':>16}{'spread':>8}{'outside':>9}")
    for entry in (baseline("original"), baseline("ft"), retrain(track)):
        inside, outside = measure(bench, entry, options.repeats)
        middle = statistics.median(inside)
        spread = statistics.stdev(inside) / middle
        ends = f"{min(inside):.3f}–{max(inside):.3f}"
        print(f"{entry.name:<10}{middle:>18.3f}{ends:>16}{spread:>8.1%}{statistics.median(outside):>9.2f}")


if __name__ == "__main__":
    main()
