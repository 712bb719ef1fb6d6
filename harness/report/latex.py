"""The board as a LaTeX table for a paper (booktabs), and its methods as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from unlearn_bench.harness.entries.entry import ORACLE_FREE, baseline, baseline_names
from unlearn_bench.harness.report.cells import NONE, group, position, position_range, unconverged
from unlearn_bench.harness.report.methods import method
from unlearn_bench.harness.report.track_notes import access
from unlearn_bench.harness.results.badges import SELF_REPORTED, UNRANKED
from unlearn_bench.harness.support.text import visible
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import leading, shown
from unlearn_bench.scoring.seed_rows import NO_BETTER

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"}
SPECIAL |= {
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "‖": r"$\|$",
    "ε": r"$\varepsilon$",
}


def table(board: pd.DataFrame, track: Track) -> str:
    """Return a table environment that compiles with booktabs under pdflatex; reference rows stand last.

    Means have the half-width of their 95 % interval; the best group of a metric is bold; rows that share places have
    the same range of positions. The caption names track, digests, date and command.
    """
    leading_metrics = leading("table")
    others = [
        metric for metric in (*shown("table", track.corruption), *shown("latex", track.corruption)) if not metric.ranked
    ]
    metrics = [*leading_metrics, *others]
    heads = ["position", "range", "method", *(escaped(metric.title) for metric in metrics)]
    lines = [
        f"% bench leaderboard --track {track.name} --format latex; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{_caption(board, track)}}}",
        f"\\label{{tab:{track.name}}}",
        f"\\begin{{tabular}}{{ccl{'r' * len(metrics)}}}",
        r"\toprule",
        f"{' & '.join(heads)} \\\\",
        r"\midrule",
    ]
    rows = board.to_dict("records")
    lines += [_row(row, metrics) for row in rows if row["state"] != "reference"]
    lines.append(r"\midrule")
    lines += [_row(row, metrics) for row in rows if row["state"] == "reference"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def bibliography(board: pd.DataFrame) -> str:
    """Return the shipped methods of a board as BibTeX, from their files' metadata and docstrings."""
    names = sorted({str(name).removesuffix(ORACLE_FREE) for name in board["entry"]} & set(baseline_names()))
    cited = [name for name in names if baseline(name).kind == "baseline"]
    return "\n\n".join(_bibtex(name) for name in cited)


def escaped(text: str) -> str:
    """Return text as LaTeX prints it."""
    return "".join(SPECIAL.get(character, character) for character in visible(text))


def _caption(board: pd.DataFrame, track: Track) -> str:
    date = max((str(day) for day in board["date"].dropna() if day), default="")
    signs = [
        *(["$p$: provisional, without U-LiRA or probes"] if (board["provisional"] != "").any() else []),
        *(["$=$: no better than Original"] if (board["state"] == NO_BETTER).any() else []),
        *(["$s$: its search has not converged"] if any(map(unconverged, board.to_dict("records"))) else []),
    ]
    ran = f", units up to {date}" if date else ""
    sentences = [
        f"{escaped(track.analysis.title or track.name)}",
        *([f"Access {escaped(tier)}"] if (tier := access(track)) else []),
        "; ".join(["Means over seeds with 95\\,\\% intervals; bold: best group", *signs]),
        f"Track {escaped(track.name)}, reference {track.reference_digest[:12]}, "
        f"protocol {track.protocol_digest[:12]}{ran}",
    ]
    return ". ".join(sentences) + "."


def _row(row: Mapping[Any, Any], metrics: list[Metric]) -> str:
    signs = ("=" if row["state"] == NO_BETTER else "") + ("p" if row["provisional"] else "")
    signs += "s" if unconverged(row) else ""
    sign = f"$^{{{signs}}}$" if signs else ""
    refused = f" ({row['state']})" if row["state"] in UNRANKED else ""
    if not refused and row["badge"] == SELF_REPORTED and not row["trusted"]:
        refused = " (from checkpoints)"
    cells = [escaped(position(row)), escaped(position_range(row)), escaped(f"{row['entry']}{refused}") + sign]
    return " & ".join([*cells, *(_cell(row, metric) for metric in metrics)]) + r" \\"


def _cell(row: Mapping[Any, Any], metric: Metric) -> str:
    value = row.get(metric.name)
    if pd.isna(value):
        return escaped(NONE)
    number = f"{value:.{metric.digits}f}"
    low, high = row.get(f"{metric.name}_low"), row.get(f"{metric.name}_high")
    if metric.ratio:
        number += r"\times"
    elif not pd.isna(low) and high > low:
        number += rf" \pm {(high - low) / 2:.{metric.digits}f}"
    best = group(row, metric.name) == GROUPS[0]
    attack = row.get(f"{metric.name}_attack")
    shown_number = f"$\\mathbf{{{number}}}$" if best else f"${number}$"
    return shown_number if pd.isna(attack) or not attack else f"{shown_number} {escaped(attack)}"


def _bibtex(name: str) -> str:
    entry = baseline(name)
    paper, authors, described = str(entry.metadata["paper"]), str(entry.metadata["authors"]), method(entry)
    fields = {"author": f"{{{authors}}}", "title": f"{{{escaped(described.name)}}}"}
    if described.work:
        people = re.sub(r",?\s+et al\.", " and others", re.sub(r"[,;] ", " and ", authors))
        fields = {"author": people, "title": f"{{{escaped(described.work)}}}"}
    if described.year:
        fields["year"] = described.year
    if arxiv := re.search(r"arxiv\.org/abs/([\d.]+)", paper):
        fields |= {"eprint": arxiv[1], "archiveprefix": "arXiv"}
    body = ",\n".join(f"  {key} = {{{value}}}" for key, value in {**fields, "url": paper}.items())
    return f"@misc{{{name},\n{body}\n}}"
