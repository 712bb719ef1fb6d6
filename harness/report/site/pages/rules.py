"""The rules for participants, from ``submissions/RULES.md``, and how positions are made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unlearn_bench.harness.report.site.contract import Page, Site
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.scoring.metric_table import ranked, titles

RULES = Path(__file__).parents[4] / "submissions" / "RULES.md"


def pages(site: Site) -> Iterator[Page]:
    """Yield the one page of the rules."""
    yield "rules.html", lambda: render(site, "rules.html", ranking=_ranking(), **_rules())


def _ranking() -> tuple[str, ...]:
    over = titles(ranked())
    return (
        "A method is F unless all of its seeds end ok and every model is usable: an RA of at least 1.5 / classes and "
        "of half of Retrain’s, and outputs that have not collapsed. A method that forgets no better than Original has "
        "no position either.",
        "Retention is RetDev. Per track the shipped baselines are clustered into three groups by their means over the "
        "seeds (Ward’s method on the line); half-way between the clusters lie the cut points between G1, G2 and G3. "
        "Every other entry falls between fixed cut points, so that no submission moves another’s group.",
        "Forgetting is the worst of all attacks that ran, each read against retrained models (0) and Original (1), in "
        "both directions, with an interval that is corrected for their number. It is G1 only where the interval "
        "reaches 0, G2 below one half, otherwise G3. Before any attack confidence is taken out of the outputs: "
        "rescaling them gains nothing. A row that U-LiRA or the probes have not looked at "
        "where they have looked at baselines is provisional, and "
        "stands behind its equals.",
        "Speed is RTE, clustered on a log scale like RetDev, and G3 where a method is no faster than retraining. It "
        "counts only for methods that are G1 in retention and in forgetting.",
        f"Positions count the groups of {over} over all tracks and sort by G1, then G2, then G3; methods with equal "
        "counts share their places. The range of a position covers 95 % of 5,000 resamples of the seeds.",
    )


def _rules() -> dict[str, Any]:
    """Return the rules as plain text by sections, without marks of emphasis."""
    intro, *parts = re.split(r"^## ", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = []
    for part in parts:
        title, _, body = part.partition("\n")
        rules = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", body, flags=re.MULTILINE | re.DOTALL)
        sections.append((title.strip(), int(rules[0][0]), [_unmarked(text) for _, text in rules]))
    return {"intro": _unmarked(intro.partition("\n")[2]), "sections": sections}


def _unmarked(text: str) -> str:
    return " ".join(re.sub(r"[*`]", "", text).split())
