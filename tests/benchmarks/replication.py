"""The shipped methods on a GPU: accuracies, RetDev and Indisc of each; on CIFAR-10 × ResNet18 beside the published
replication, with groups and rank correlation.

Units are untimed and run side by side on one GPU (``bench prepare`` the track first). What every unit scored is kept
in ``--out`` after each method, and a method that stands there is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from unlearn_bench.harness.commands._progress import ProgressBar
from unlearn_bench.harness.entries.entry import Entry, baseline, baseline_names
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, roles
from unlearn_bench.harness.results.scores import model_evidence
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.support.hardware import hardware
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units.tuning import tuned
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.worker_runner import WorkerRunner
from unlearn_bench.scoring.accuracy import accuracies, cross_entropy
from unlearn_bench.scoring.groups import GROUPS, cut_points, places
from unlearn_bench.scoring.retention import retention
from unlearn_bench.scoring.umia import indiscernibility, umia

PUBLISHED = Path(__file__).parents[2] / "harness" / "results" / "paper" / "replication.csv"
TITLES = {"cf_k": "CF-k", "eu_k": "EU-k", "ng_plus": "NG+", "salun": "SalUN"}
"""Names of the published table, where they are not the file's in capitals."""
NUMBERS = ("ra", "fa", "ta", "retdev", "umia", "indisc")


def numbers(references: References, seed: int, logits: np.ndarray) -> dict[str, float]:
    """Accuracies, RetDev, U-MIA and Indisc of logits [n, classes], as the board has them."""
    seen = model_evidence(references, seed, logits)
    own, other = (accuracies(values, seen.labels, seen.parts) for values in (logits, seen.retrained))
    losses = cross_entropy(logits, seen.labels)
    attack = umia(losses[seen.parts["forget"]], losses[seen.parts["test"]], seen.seed)
    found = (own.retain, own.forget, own.test, retention(own, other).retdev, attack, indiscernibility(attack))
    return {name: round(float(value), 5) for name, value in zip(NUMBERS, found, strict=True)}


def run(
    references: References, entries: Sequence[Entry], seeds: int, options: argparse.Namespace, kept: dict[str, Any]
) -> None:
    """Run what is not kept yet; keeps each method's seeds in ``--out`` as soon as they are all there."""
    track = references.track
    units = [SeedUnit(entry, track, seed) for entry in entries for seed in range(seeds)]
    found: dict[str, dict[int, dict[str, Any]]] = {entry.name: {} for entry in entries}
    workers = WorkerRunner(track, options.device)
    workers.at_once = options.workers or workers.at_once
    kept["at_once"] = workers.at_once
    with workers, ProgressBar("units", len(units), "units") as bar:
        for unit, result in workers.run(units, options.deadline):
            done = found[unit.entry.name]
            done[unit.seed] = {"status": result.status, "reason": result.reason, "cpu_seconds": result.cpu_seconds}
            if result.logits is not None:
                done[unit.seed] |= numbers(references, unit.seed, result.logits)
            bar.step()
            if len(done) == seeds:
                parameters = {**unit.entry.defaults, **unit.entry.overrides}
                in_order = [done[seed] for seed in sorted(done)]
                kept["methods"][unit.entry.name] = {"parameters": parameters, "seeds": in_order}
                write_file(options.out, json.dumps(kept, indent=1).encode())


def published() -> dict[str, Mapping[str, str]]:
    with PUBLISHED.open() as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def table(kept: Mapping[str, Any]) -> list[str]:
    """Means over the seeds that ended well, and how many those are; the reference models first."""
    rows = {kind: kept[kind] for kind in ("retrained", "original")}
    rows |= {name: method["seeds"] for name, method in sorted(kept["methods"].items()) if name != "original"}
    lines = [f"{'':<10}" + "".join(f"{name:>9}" for name in (*NUMBERS, "ok", "CPU s"))]
    for name, seeds in rows.items():
        fine = [seed for seed in seeds if seed.get("status", "ok") == "ok"]
        means = [float(np.mean([seed[number] for seed in fine])) if fine else np.nan for number in NUMBERS]
        cost = np.mean([seed.get("cpu_seconds", np.nan) for seed in seeds])
        count = f"{len(fine)}/{len(seeds)}"
        lines.append(f"{name:<10}" + "".join(f"{mean:>9.4f}" for mean in means) + f"{count:>9}{cost:>9.1f}")
    return lines


def compare(kept: Mapping[str, Any]) -> list[str]:
    """Our means beside the published ones, groups of both, and Spearman's ρ over what is finite in both."""
    theirs = published()
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for name, method in kept["methods"].items():
        row = theirs.get(TITLES.get(name, name.upper()))
        if row is None or any(seed["status"] != "ok" for seed in method["seeds"]):
            continue
        own = [float(np.mean([seed[which] for seed in method["seeds"]])) for which in ("retdev", "indisc")]
        pairs[name] = own, [float(row[which] or "nan") for which in ("retdev", "indisc")]
    titles = [which + end for which in ("RetDev", "Indisc") for end in ("", ", published")]
    lines = [f"{'':<10}" + "".join(f"{title:>18}" for title in titles)]
    columns = np.array(list(pairs.values()))  # [methods, ours or theirs, number]
    groups = np.full(columns.shape, "", dtype="<U2")
    for number, lower in enumerate((True, False)):
        both = np.isfinite(columns[:, :, number]).all(axis=1)
        for side in range(2):
            values = columns[both, side, number]
            groups[both, side, number] = np.array(GROUPS)[places(values, cut_points(values), lower)]
    for name, values, group in sorted(zip(pairs, columns, groups, strict=True), key=lambda one: one[1][0, 0]):
        cells = [f"{values[side, n]:>15.4f} {group[side, n]:<2}" for n in range(2) for side in range(2)]
        lines.append(f"{name:<10}" + "".join(cells))
    for number, which in enumerate(("RetDev", "Indisc")):
        both = np.isfinite(columns[:, :, number]).all(axis=1)
        ours, other = columns[both, 0, number], columns[both, 1, number]
        rho, p = stats.spearmanr(ours, other)
        same = int((groups[both, 0, number] == groups[both, 1, number]).sum())
        lines.append(f"{which}: Spearman's ρ {rho:.2f} (p {p:.3f}), same group {same} of {both.sum()}")
    mine = kept["retrained"]
    lines.append(f"retrained: test accuracy {np.mean([seed['ta'] for seed in mine]):.4f} "
                 f"(published {theirs['retrain']['test_accuracy']}), "
                 f"U-MIA {np.mean([seed['umia'] for seed in mine]):.4f} "
                 f"({theirs['retrain']['mia_accuracy']})")  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="default: all shipped methods")
    parser.add_argument("--track", default="cifar10-resnet18-lite")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seeds", type=int, help="fewer than the track has")
    parser.add_argument("--workers", type=int, help="units side by side; default: as the harness has them")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds per unit")
    parser.add_argument("--out", type=Path, required=True, help="JSON file with what every unit scored")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = Store()
    references = References(load_track(options.track), store)
    if missing := references.missing(roles(references.track)):
        parser.error(f"{len(missing)} reference models lack: bench prepare {options.track} --gpu 0")
    seeds = min(options.seeds or references.track.protocol.seeds, references.track.protocol.seeds)
    kept: dict[str, Any] = {"methods": {}}
    if options.out.is_file():
        kept = json.loads(options.out.read_text())
        if kept["reference_digest"] != references.track.reference_digest:
            parser.error(f"{options.out} is of another track")
    gpu = torch.cuda.get_device_name(options.device) if options.device != "cpu" else None
    kept |= {"track": references.track.name, "reference_digest": references.track.reference_digest,
             "environment": {**hardware(), "gpu": gpu, "torch": torch.__version__}}  # fmt: skip
    for kind in ("original", "retrained"):
        own = [numbers(references, seed, references.logits(Role(kind, seed))) for seed in range(seeds)]
        if kept.setdefault(kind, own) != own:
            parser.error(f"{options.out} is of other reference models or seeds: name another --out")
    names = [name for name in options.names or baseline_names() if name not in ("retrain", *kept["methods"])]
    entries = [tuned(baseline(name), references.track, store) for name in names]
    run(references, entries, seeds, options, kept)
    print("\n".join(table(kept)))
    if references.track.name.startswith("cifar10-resnet18"):
        print("\n".join(compare(kept)))
    print(f"load {os.getloadavg()[0]:.1f}; {references.track.recipe.epochs} epochs")


if __name__ == "__main__":
    main()
