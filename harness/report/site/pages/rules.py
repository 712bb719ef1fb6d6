"""The rules for participants, from ``submissions/RULES.md``, and how the rank is made."""

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


def _ranking() -> tuple[str, str]:
    over = titles(ranked())
    return (
        "Per track and metric the shipped baselines are clustered into three groups by their means over the seeds "
        "(Ward’s method on the line; RTE on a log scale). Half-way between the clusters lie the cut points between G1, "
        "G2 and G3. Every other entry falls between fixed cut points, so that no submission moves another’s group. A "
        "method is F unless all of its seeds end ok and its models are usable: a mean RA of at least 1.5 / classes and "
        "of half of Retrain’s.",
        "The rank counts memberships over metrics and tracks and sorts by G1, then G2, then G3, all descending; "
        "methods with equal counts share a rank, and stand in the order of RetDev + 1 − Indisc. There are two ranks: "
        f"over {over}, and with U-LiRA as a fourth metric among the methods that ran it. The range of a rank covers "
        "95 % of 500 resamples of the seeds.",
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
