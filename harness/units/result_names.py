"""Names of what is computed from one model: they change with its logits and with those of the models beside it.

So what was computed of another model is never taken for this one, whoever trained the reference models and however
often a unit has run.
"""

from __future__ import annotations

from unlearn_bench.harness.references.manifest import StoredManifest
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.units.records import Record


def of_unit(references: References, record: Record) -> str:
    """Return the name of what is computed from a finished unit's model."""
    key = ("result", references.track.reference_digest, record.seed, record.logits)
    inputs = references.store.once(key, lambda: _inputs(references.manifest, record.seed, record.logits))
    return f"{record.key}-{inputs}"


def of_reference(references: References, kind: RoleKind, seed: int) -> str:
    """Return the name of what is computed from a reference model."""

    def name() -> str:
        manifest = references.manifest
        return f"{kind}-{seed}-{_inputs(manifest, seed, _logits(manifest, kind, seed))}"

    return references.store.once(("result", references.track.reference_digest, kind, seed), name)


def _inputs(manifest: StoredManifest, seed: int, logits: str | None) -> str:
    original, retrained = _logits(manifest, "original", seed), _logits(manifest, "retrained", seed)
    return digest({"logits": logits, "original": original, "retrained": retrained})[:16]


def _logits(manifest: StoredManifest, kind: RoleKind, seed: int) -> str | None:
    model = manifest.roles.get(Role(kind, seed).name)
    return None if model is None else model.logits
