"""``bench score FOLDER``: models that were unlearned elsewhere become a row of a track's board; nothing is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from unlearn_bench.harness.entries.entry import NAME, Entry, InvalidEntry, has_shipped_name
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.references import model_files
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board, board_entries
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import file_digest
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, unit_store, unlearned_weights
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.workflows import probing, versions
from unlearn_bench.sandbox.types import Outcome


@dataclass(frozen=True)
class DeclaredTimes:
    """Seconds of unlearning and of retraining one model, both measured by the author on one machine."""

    unlearning: float
    retraining: float


@dataclass(frozen=True)
class ScoredCheckpoints:
    """A row that was scored from checkpoints."""

    name: str
    references: References
    files: Mapping[int, Path]
    """By seed."""
    version: BoardEntry
    """The models as a version of the row."""
    standing: BoardEntry
    """The version that stands there."""
    board: pd.DataFrame
    """The track's board, see :func:`harness.results.board.board`, with these models as the row."""
    null: Mapping[str, float]


def score_checkpoints(
    folder: Path,
    track: str,
    observer: Observer,
    *,
    name: str | None = None,
    times: DeclaredTimes | None = None,
    secret: Path | None = None,
    gpu: int | None = None,
    probes: bool = False,
) -> ScoredCheckpoints:
    """Score models that were unlearned from a track's originals, and keep them as a self-reported row of its board.

    Args:
        folder: checkpoints, one for each model seed; a position needs all seeds.
        track: a track's name, or the path of a TOML file; its reference models must be there.
        observer: receives the progress.
        name: of the row; default: that of the folder.
        times: what the author measured, from which the row's speed is computed; default: it has none.
        secret: of a sealed track, which is refused.
        gpu: index of a CUDA device to compute on.
        probes: also run the probes on the models.

    Raises:
        BenchError: a name that is not allowed, reference models that are missing, a file that is not a checkpoint of
            the track's network, outputs that are not finite. Nothing is kept then.
    """
    loaded_track, row_name = load_track(track, secret), name or folder.resolve().name
    disclosure.not_public(loaded_track, "a row of checkpoints")
    _check_name(row_name)
    references = References(loaded_track, Store())
    if missing := references.missing():
        what = f"{missing[0].name} of {loaded_track.name} is not stored, and checkpoints are compared with it"
        remedy = f"run `bench prepare {track}`, or `bench references import {track}` with your models"
        raise BenchError(what, "your command", remedy, USAGE)
    if probes:
        probing.require_references(references)
    files = model_files.by_seed(folder, loaded_track.protocol.seeds, all_seeds=False)
    digests = {seed: file_digest(path) for seed, path in files.items()}
    if len(set(digests.values())) < len(digests):
        raise BenchError(f"{folder} has one model twice", "your command", "keep the model of each seed there", USAGE)
    entry = Entry(row_name, json.dumps({"checkpoints": digests}, sort_keys=True).encode())
    records = []
    with observer.progress(f"scoring {row_name}", len(files), "models") as progress:
        for seed, path in files.items():
            unit = SeedUnit(entry, loaded_track, seed)
            records.append(
                _record(references, unit, path, digests[seed], times, "cpu" if gpu is None else f"cuda:{gpu}")
            )
            progress.step()
    versions.pin(references, entry)
    for record in records:
        record.save(references.store)
    versions.settle(references, [entry])
    if probes:
        layout = model_files.network_layout(loaded_track)
        for record in records:
            unlearned_weights.hold(references.store, record.key, model_files.read(files[record.seed], layout))
        probing.run_probes(references, records, RunOptions(gpu=gpu, observer=observer))
    version = next(each for each in board_entries.versions(references)[row_name] if each.entry_id == entry.id)
    ranked = board.board(references, results=board.read_results(references, version))
    standing = board_entries.find(references, row_name)
    return ScoredCheckpoints(row_name, references, files, version, standing, ranked, board.null(references))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidEntry(f"{name!r} cannot be a row's name", "choose one of letters, digits, _, - and .: --name")
    if has_shipped_name(name):
        what = f"{name} is the name of a shipped method"
        raise BenchError(what, "your command", "choose another one: --name", USAGE)


def _record(
    references: References, unit: SeedUnit, path: Path, sha256: str, times: DeclaredTimes | None, device: str
) -> Record:
    from unlearn_bench.harness.support.hardware import torch_version
    from unlearn_bench.harness.training.inference import logits_of
    from unlearn_bench.harness.units.unit_run import distance_from_target, unit_record

    track = references.track
    weights = model_files.read(path, model_files.network_layout(track))
    logits = logits_of(track, weights, references.examples.dataset.images, device)
    if not np.isfinite(logits).all():
        remedy = "leave the seed out if its model diverged: the row is then incomplete"
        raise BenchError(f"{path}: the model's outputs are not finite", "your command", remedy, USAGE)
    environment = {
        "source": "checkpoints; nothing was run",
        "times": "none" if times is None else "declared by the author",
        "torch": torch_version(),
    }
    outcome = Outcome("ok", environment=environment, warnings=(f"read from {path.name}",))
    return replace(
        unit_record(unit, outcome, references.store.put(unit_store.pack(logits)), trusted=False, hardware={}),
        seconds=None if times is None else times.unlearning,
        retrain_seconds=None if times is None else times.retraining,
        weight_distance=distance_from_target(references, unit, weights),
        checkpoint=sha256,
    )
