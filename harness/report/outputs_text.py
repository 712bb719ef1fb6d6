"""Scores of outputs that were computed elsewhere, as text and as a JSON document."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from unlearn_bench.harness.report import attack_text
from unlearn_bench.harness.report.cells import NONE
from unlearn_bench.harness.results.attack_panel import AttackNumber
from unlearn_bench.harness.results.outputs import OutputScores
from unlearn_bench.scoring.groups import GROUPS


def text(scores: OutputScores) -> str:
    """Return the numbers of logits: metrics with their intervals, what attacks read, and what is left of F."""
    lines = [f"{scores.seeds} seed{'s' if scores.seeds > 1 else ''}; intervals: 95 %, over the seeds"]
    lines.append(f"{'metric':<16}{'unlearned':>18}{'null':>11}{'original':>10}")
    for metric in scores.metrics:
        spread = f" ± {metric.value.half_width:.3f}" if metric.value.n > 1 else ""
        null = NONE if metric.null is None or math.isnan(metric.null) else f"{metric.null:.3f}"
        lines.append(f"{metric.title:<16}{f'{metric.value.mean:.3f}{spread}':>18}{null:>11}{metric.original:>10.3f}")
    lines += ["", attack_text.panel(scores.attacks), ""]
    if scores.unusable:
        lines.append(f"unusable: {scores.unusable}")
    elif (found := scores.forgetting) is not None:
        group = GROUPS[found.group]
        lines.append(
            f"Forgetting {found.value:.2f} ({found.low:.2f} to {found.high:.2f}), {group}, by {found.attack}: "
            "0 is a retrained model, 1 the original"
        )
    else:
        lines.append(
            "Forgetting –: it needs several seeds, a second retrained model, and an attack that finds Original"
        )
    return "\n".join(lines)


def document(scores: OutputScores) -> str:
    """Return the same numbers as JSON, with all digits."""
    found = scores.forgetting
    content: dict[str, Any] = {
        "seeds": scores.seeds,
        "metrics": [dataclasses.asdict(metric) for metric in scores.metrics],
        "attacks": [dataclasses.asdict(number) for number in scores.attacks],
        "forgetting": None if found is None else {**dataclasses.asdict(found), "group": GROUPS[found.group]},
        "unusable": scores.unusable,
    }
    return json.dumps(content, indent=1)


def attacks_document(numbers: Sequence[AttackNumber]) -> str:
    """Return what attacks on shadow models read, as JSON."""
    attacks = [dataclasses.asdict(number) for number in numbers]
    return json.dumps({"attacks": attacks}, indent=1)
