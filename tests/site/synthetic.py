"""Stores with made-up records, for pages of any size: numbers drawn, everything else as runs leave it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.harness.entries.entry import Entry, baseline, baseline_names
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import SEED_KINDS
from unlearn_bench.harness.results import curves, scores
from unlearn_bench.harness.results.curves import Curves
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.store import document_bytes
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import entry_sources, result_names
from unlearn_bench.harness.units.records import Record, record_kind
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.scoring.curves import EDGES, FPR

SOURCE = '''"""{name}: fine-tuning on the retain set."""

import torch


def unlearn(model, retain, forget, val, *, lr=0.01, epochs=5):
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for _ in range(epochs):
        for image, label in retain:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(image), label).backward()
            optimiser.step()
    return model


SEARCH_SPACE = {{"lr": ("log", 1e-5, 1e-1), "epochs": ("int", 1, 10)}}
'''
ENVIRONMENT = {
    "backend": "docker",
    "cpu": "AMD EPYC",
    "cores": 2,
    "device": "x86_64",
    "torch": "2.14.1",
    "python": "3.11",
}


def methods(count: int) -> list[Entry]:
    """The shipped methods and made-up ones beside them, ``count`` in all."""
    shipped = [baseline(name) for name in baseline_names()]
    rest = []
    for number in range(count - len(shipped)):
        name = f"method_{number:03d}"
        space = {"lr": ["log", 1e-5, 1e-1], "epochs": ["int", 1, 10]}
        source = SOURCE.format(name=name).encode()
        rest.append(Entry(name, source, defaults={"lr": 0.01, "epochs": 5}, search_space=space, summary="Fine-tuning."))
    return [*shipped, *rest]


def fill(root: Path, tracks: Sequence[str], entries: Sequence[Entry], drawn_curves: bool = True) -> None:
    """Write records, scores and curves of all entries on all tracks into a store that has no reference models."""
    rng = np.random.default_rng(0)
    store = Store(root, behind=None)
    for entry in entries:
        entry_sources.keep(store, entry)
    for name in tracks:
        track = load_track(name)
        references = References(track, store)
        place = scores._kind(track)
        for kind in SEED_KINDS:
            base = {"original": 0.28, "retrained": 0.0, "null": 0.08}[kind]
            for seed in range(track.protocol.seeds):
                model = result_names.of_reference(references, kind, seed)
                _put(root, place, model, dataclasses.asdict(_scores(rng, base).stored()))
            if drawn_curves:
                models = [result_names.of_reference(references, kind, seed) for seed in range(track.protocol.seeds)]
                _put(
                    root, curves.document_kind(references), f"{kind}-{digest(models)}", dataclasses.asdict(_curves(rng))
                )
        for entry in entries:
            _entry(root, references, entry, rng, place, drawn_curves)


def _entry(root: Path, references: References, entry: Entry, rng: Any, place: str, drawn_curves: bool) -> None:
    track = references.track
    level, speed, keys = rng.gamma(2.0, 0.1), float(np.exp(rng.normal(0.7, 0.7))), []
    for seed in range(track.protocol.seeds):
        record = _record(track, entry, seed, 10.0 / speed * float(np.exp(rng.normal(0, 0.05))))
        keys.append(result_names.of_unit(references, record))
        folder = record_kind(record.reference_digest, record.protocol_digest)
        _put(root, folder, record.key, dataclasses.asdict(record))
        _put(root, place, keys[-1], dataclasses.asdict(_scores(rng, level).stored()))
    if drawn_curves:
        _put(root, curves.document_kind(references), digest(sorted(keys)), dataclasses.asdict(_curves(rng)))


def _curves(rng: Any) -> Curves:
    forget, test = (rng.multinomial(5000, np.ones(len(EDGES) - 1) / (len(EDGES) - 1)).tolist() for _ in range(2))
    return Curves(10, tuple(forget), tuple(test), tuple((FPR**0.95).tolist()), 1e-4)


def _record(track: Track, entry: Entry, seed: int, seconds: float) -> Record:
    return Record(
        key=SeedUnit(entry, track, seed).key,
        entry=entry.id,
        name=entry.name,
        sha256=entry.sha256,
        track=track.name,
        reference_digest=track.reference_digest,
        protocol_digest=track.protocol_digest,
        seed=seed,
        status="ok",
        reason="",
        seconds=seconds,
        cpu_seconds=seconds,
        peak_memory=2**28,
        retrain_seconds=10.0,
        logits=digest([entry.id, track.name, seed]),
        date="2026-01-01T00:00:00+00:00",
        trusted=True,
        environment=ENVIRONMENT,
        parameters=dict(entry.defaults),
    )


def _scores(rng: Any, level: float) -> Scores:
    retdev = float(abs(level + rng.normal(0, 0.03)))
    umia = float(np.clip(0.5 + level / 4 + rng.normal(0, 0.01), 0.3, 0.9))
    told = {"accuracy": umia, "indisc": 1 - abs(2 * umia - 1)}
    numbers = {"umia": told, "umia_two_sided": told, "rmia": {"auc": umia, "tpr_1": 0.01}}
    return Scores(
        metrics={
            "ra": 0.99,
            "fa": 0.8,
            "va": 0.78,
            "ta": 0.77,
            "rr": 1.0,
            "fr": 1.0 + retdev / 2,
            "tr": 1.0 - retdev / 2,
            "retdev": retdev,
            "temperature": 1.0,
            "umia": umia,
            "indisc": 1 - abs(2 * umia - 1),
        },
        absolute=(),
        ra_retrain=0.99,
        attacks=numbers,
    )


def _put(root: Path, kind: str, name: str, content: Mapping[str, Any]) -> None:
    path = root / kind / f"{name}.json"  # not through the store: it waits for the disk after each file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document_bytes.encode(f"{kind}/{name}", content))
