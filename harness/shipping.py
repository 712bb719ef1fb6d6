"""What ships with the benchmark: reference models of the default track, and the records of the shipped methods."""

from __future__ import annotations

from harness import board, scores, units
from harness.errors import TrackError
from harness.references import SEED_KINDS, References, roles
from harness.store import Store


def export_references(references: References, target: Store) -> int:
    """Copy a complete reference set, compressed; returns the size of the target in bytes.

    Of originals weights and logits, of retrained models the logits alone.

    Raises:
        TrackError: the track keeps full-precision references, which are too large to ship.
    """
    if references.track.recipe.weights != "float16":
        raise TrackError(f"{references.track.name} has full-precision references", 'set recipe.weights = "float16"')
    manifest = references.manifest
    for role in roles(references.track):
        entry = manifest["roles"][role.name]
        if role.kind != "original":
            entry["weights"] = None
        for sha in (entry["weights"], entry["logits"]):
            if sha is not None:
                target.put(references.store.get(sha), compress=True)
    target.write("references", references.track.reference_digest, manifest)
    return _size(target)


def export_records(references: References, target: Store) -> int:
    """Copy records and scores of the shipped methods, without their arrays; returns the number of records.

    Records of an older version of a method are left behind: the target's are replaced.
    """
    track = references.track
    place = units.folder(track.reference_digest, track.protocol_digest)
    for name, _ in list(target.all(place)):
        target.remove(place, name)
    count = 0
    for candidate in board.candidates(references):
        if candidate.kind == "entry":
            continue
        for record in candidate.records.values():
            record.save(target)
            scores.copy(references, record, target)
            count += 1
    for kind in SEED_KINDS:
        for seed in range(track.protocol.seeds):
            scores.copy_reference(references, kind, seed, target)
    return count


def _size(target: Store) -> int:
    return sum(path.stat().st_size for path in target.root.rglob("*") if path.is_file())
