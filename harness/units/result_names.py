"""Names of what is computed from one model: they change with its logits and with those of the models beside it.

So what was computed of another model is never taken for this one, whoever trained the reference models and however
often a unit has run.
"""

from __future__ import annotations

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.units.records import Record


def of_unit(references: References, record: Record) -> str:
    """Return the name of what is computed from a finished unit's model."""
    return f"{record.key}-{_inputs(references, record.seed, record.logits)}"


def of_reference(references: References, kind: RoleKind, seed: int) -> str:
    """Return the name of what is computed from a reference model."""
    return f"{kind}-{seed}-{_inputs(references, seed, _logits(references, Role(kind, seed)))}"


def _inputs(references: References, seed: int, logits: str | None) -> str:
    beside = {kind: _logits(references, Role(kind, seed)) for kind in ("original", "retrained")}
    return digest({"logits": logits, **beside})[:16]


def _logits(references: References, role: Role) -> str | None:
    model = references.manifest.roles.get(role.name)
    return None if model is None else model.logits
