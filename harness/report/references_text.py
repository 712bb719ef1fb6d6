"""Reference models of a track as text: what an import found, and what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_bench.harness.references.plausibility import ImportedModel
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import shadow_roles


def imported(references: References, models: Sequence[ImportedModel]) -> str:
    """Return a line for every imported model, doubts about them, and what the track lacks without the others."""
    width = max(len(model.role) for model in models)
    lines = [f"{'model':<{width}}  {'RA':>6} {'FA':>6} {'VA':>6} {'TA':>6}  file"]
    for model in models:
        accuracies = " ".join(f"{value:>6.4f}" for value in vars(model.accuracies).values())
        lines.append(f"{model.role:<{width}}  {accuracies}  {model.file}")
    lines += [f"doubtful: {model.doubt}" for model in models if model.doubt]
    track = references.track
    lines.append(f"{track.name}: {len(models)} models; {references.provenance}")
    if not references.has_null:
        lines.append("no second retrained model (--null): no null, and Forgetting only by U-LiRA")
    if not track.protocol.lira_splits:
        lines.append("no U-LiRA: the track declares no shadow models (protocol.lira_splits)")
    elif references.missing(shadow_roles(track)):
        lines.append("no shadow models (--shadows): bench submit --lira trains them by the track's recipe")
    return "\n".join(lines)


def stored(models: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return a line for every stored model with what is known of its training."""
    if not models:
        return "no reference model is stored"
    width = max(len(role) for role, _ in models)
    lines = []
    for role, facts in models:
        shown = {name: value for name, value in facts.items() if name != "file_sha256"}
        if "file_sha256" in facts:
            shown["sha256"] = facts["file_sha256"][:16]
        lines.append(
            f"{role:<{width}}  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
        )
    return "\n".join(lines)
