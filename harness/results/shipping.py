"""What ships with the benchmark: reference models of the default track, and the records of the shipped methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unlearn_bench.harness.data import labels
from unlearn_bench.harness.probes import stored
from unlearn_bench.harness.probes.stored import ProbedModel
from unlearn_bench.harness.references.manifest import StoredManifest
from unlearn_bench.harness.references.references import HALF_MAX, References, half
from unlearn_bench.harness.results import curves, literature, relearning, scores
from unlearn_bench.harness.results.board_entries import BoardEntry, board_entries, shadow_records
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.units import result_names, shadow_units, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord, record_kind


def export_references(references: References, target: Store, *, null_weights: bool = True) -> int:
    """Copy a complete reference set, compressed; returns the size of the target in bytes.

    It holds weights and logits of the models of all seeds, and the labels of the data set; with ``null_weights`` false
    only the logits of the null models, of which the panel's probes must be stored then.

    Raises:
        TrackError: the track keeps full-precision references, which are too large to ship.
    """
    if references.track.recipe.weights != "float16":
        raise TrackError(f"{references.track.name} has full-precision references", 'set recipe.weights = "float16"')
    models, shipped = references.manifest.roles, {}
    for role in references.seed_roles():
        model = models[role.name]
        if role.kind == "null" and not null_weights:
            model = replace(model, weights=None)
        shipped[role.name] = model
        for sha in (model.weights, model.logits):
            if sha is not None:
                target.put(references.store.get(sha), compress=True)
    manifest = StoredManifest(references.track.name, shipped)
    target.write("references", references.track.reference_digest, manifest.document())
    labels.keep(target, references.track, references.examples.labelled)
    return _size(target)


def export_records(references: References, target: Store, *, logits: bool = True) -> int:
    """Copy what is stored of the shipped methods, in half precision; returns the number of records.

    Seed units with their logits, shadow units as φ of what attacks compare, the scores of both, and what probes found
    of the models. Without ``logits``, what pages show of them: curves and the literature's numbers. The target's
    records are replaced; what only they referred to is removed.
    """
    track = references.track
    shipped = References(track, Store(target.root, behind=references.store.root))
    present, shadows = board_entries(references), shadow_records(references)  # the target may be what ships
    probed_units, probed_references = _probed(references, present)
    methods = [each for each in present if each.kind not in ("entry", "reference")]
    pages = _of_pages(references, [each for each in methods if not logits or _lacks_logits(references.store, each)])
    unit_scores = {
        unit.key: scores.record_scores(references, unit) for each in methods for unit in each.records.values()
    }
    units = record_kind(track.reference_digest, track.protocol_digest)
    for kind in (units, shadow_units.document_kind(references), stored.document_kind(track)):
        target.clear(kind)
    curves.clear(references, target)
    literature.clear(references, target)
    scores.clear(References(track, target))
    count = 0
    for board_entry in present:
        if board_entry.kind == "entry":
            continue
        for unit in board_entry.records.values():
            if board_entry.kind == "reference":  # timed; its logits are those of the reference models
                replace(unit, logits=None).save(target)
            else:
                ships = _ship_record(references, unit, unit_scores[unit.key], target, logits=logits)
                _ship_probed(references, probed_units[unit.key], result_names.of_unit(references, ships), target)
            count += 1
    for kind, name, content in pages:
        documents.write(target, kind, name, content)
    for kind in references.kinds:
        for seed in range(track.protocol.seeds):
            scores.copy_reference(references, kind, seed, target)
            name = result_names.of_reference(references, kind, seed)
            _ship_probed(references, probed_references[name], name, target)
    entries = {board_entry.name for board_entry in present if board_entry.kind == "entry"}
    rounded = [_ship_shadows(references, record, target) for name, record in shadows.items() if name not in entries]
    for record in rounded:  # only when all are stored, since each is compared with the rounded reference rows
        scores.put_shadows(References(track, target), record, scores.shadow_score(shipped, record))
    target.prune(_blobs(target))
    return count


def _lacks_logits(store: Store, board_entry: BoardEntry) -> bool:
    kept = (record.logits for record in board_entry.records.values() if record.logits is not None)
    return not all(store.has(sha) for sha in kept)


def _of_pages(references: References, without: Sequence[BoardEntry]) -> list[tuple[str, str, Any]]:
    """Return kind, name and content of documents with what pages show of methods whose logits do not ship."""
    if not without:
        return []
    found = [curves.document(references, each.records.values()) for each in without]
    numbers = literature.kept_documents(references)
    return [
        *((curves.document_kind(references), *each) for each in found if each is not None),
        *((literature.document_kind(references), name, kept) for name, kept in numbers.items()),
    ]


def _ship_record(
    references: References, record: Record, found: Scores | None, target: Store, *, logits: bool
) -> Record:
    """Return the record as it ships."""
    from safetensors.numpy import load

    store = references.store
    if not logits or record.logits is None or not store.has(record.logits):
        record.save(target)
        if found is not None:
            scores.put(References(references.track, target), result_names.of_unit(references, record), found)
        return record
    content = store.get(record.logits)
    rounded = load(content)["logits"]
    if rounded.dtype != np.float16:
        rounded = half(rounded)
        content = unit_store.pack(rounded)
    record = replace(record, logits=target.put(content, compress=True))
    record.save(target)
    model_scores = scores.score(references, record.seed, rounded.astype(np.float32))
    scores.put(References(references.track, target), result_names.of_unit(references, record), model_scores)
    return record


def _ship_shadows(references: References, record: ShadowRecord, target: Store) -> ShadowRecord:
    from safetensors.numpy import load, save

    if record.values is not None:
        arrays = load(references.store.get(record.values))
        rounded = {k: np.clip(v, -HALF_MAX, HALF_MAX).astype(np.float16) for k, v in arrays.items()}
        record = replace(record, values=target.put(save(rounded), compress=True))
    shadow_units.keep(References(references.track, target), record)
    return record


def _probed(
    references: References, present: Sequence[BoardEntry]
) -> tuple[dict[str, ProbedModel], dict[str, ProbedModel]]:
    """Return what probes found of units, by key, and of reference models, by name."""
    track, store = references.track, references.store
    records = [unit for each in present if each.kind != "entry" for unit in each.records.values()]
    seeds = range(track.protocol.seeds)
    names = [result_names.of_reference(references, kind, seed) for kind in references.kinds for seed in seeds]
    units = {unit.key: stored.read(store, track, result_names.of_unit(references, unit)) for unit in records}
    return units, {name: stored.read(store, track, name) for name in names}


def _ship_probed(references: References, model: ProbedModel, name: str, target: Store) -> None:
    """Write the numbers of all probes, and the arrays of the one that pages draw."""
    results = {probe: replace(found, arrays=None) for probe, found in model.results.items()}
    drawn = model.results.get(relearning.PROBE)
    if drawn is not None and drawn.arrays is not None:
        results[relearning.PROBE] = replace(drawn, arrays=target.put(references.store.get(drawn.arrays), compress=True))
    if results:
        stored.write(target, references.track, name, results)


def _blobs(target: Store) -> set[str]:
    """SHA-256 of every blob that a document of the target points to."""
    wanted = set()
    for _, manifest in documents.read_all(target, "references", StoredManifest):
        wanted |= {sha for model in manifest.roles.values() for sha in (model.weights, model.logits)}
    wanted |= {document["logits"] for _, document in target.all("units")}
    wanted |= {document["values"] for _, document in target.all("shadows")}
    wanted |= {result["arrays"] for _, document in target.all("probed") for result in document["results"].values()}
    return {sha for sha in wanted if sha is not None}


def _size(target: Store) -> int:
    return sum(path.stat().st_size for path in target.root.rglob("*") if path.is_file())
