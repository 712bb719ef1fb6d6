"""What probes cost: CPU seconds per model and per probe, from what a board's probes took.

``python -m tests.benchmarks.probes [--track NAME]`` after ``bench baselines --probes --track NAME``; of the default
track it reads what ships.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from unlearn_bench.harness.probes import stored
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--track", default="digits-resnet18")
    track = load_track(parser.parse_args().track)
    models = stored.read_all(Store(), track).values()
    by_probe: dict[str, list[float]] = defaultdict(list)
    totals = []
    for model in models:
        taken = {name: each.cpu_seconds for name, each in model.results.items() if each.cpu_seconds is not None}
        for name, seconds in taken.items():
            by_probe[name].append(seconds)
        if taken:
            totals.append(sum(taken.values()))
    if not totals:
        raise SystemExit(f"no probe has looked at {track.name}: bench baselines --probes --track {track.name}")
    print(f"{track.name}: {len(totals)} models, CPU seconds")
    for name, seconds in sorted(by_probe.items(), key=lambda item: -np.median(item[1])):
        print(f"  {name:<24} median {np.median(seconds):.2f}, at most {np.max(seconds):.2f}")
    print(f"  {'a model':<24} median {np.median(totals):.2f}, at most {np.max(totals):.2f}")
    print(f"  {'the whole board':<24} {sum(totals):.0f}")


if __name__ == "__main__":
    main()
