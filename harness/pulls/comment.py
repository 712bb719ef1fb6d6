"""The comment on a pull request, in Markdown, from a result.

Of a participant's text it shows only the title and the entry's name, whose alphabet is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unlearn_bench.harness.pulls.result import EntryResult, PullResult
from unlearn_bench.harness.report import board_documents, cells
from unlearn_bench.sandbox.text import one_line
from unlearn_bench.scoring.metric_table import judged

TITLE = 80
HARMLESS = str.maketrans(
    {"`": "'", "<": "‹", ">": "›", "@": "＠", "#": "＃", "|": "¦", "[": "(", "]": ")", "&": "＆", "\\": "＼", "$": "＄"}
)  # fmt: skip
"""Characters that some renderer gives a meaning to, and others that look alike."""
TEXTS = frozenset(
    {
        "entry",
        "kind",
        "state",
        "reason",
        "trusted",
        "verified",
        "inconsistent",
        "provisional",
        "forgetting_attack",
        "badge",
        "hardware",
        "date",
    }
)
"""Columns of a board that hold no numbers, apart from the groups."""
BARS = "▁▂▃▄▅▆▇█"


def title(text: str) -> str:
    """Return a title as a code span: one line, at most 80 characters, no mention, link, HTML or backtick."""
    plain = one_line(text, TITLE).translate(HARMLESS).replace("://", ":∕∕").replace("www.", "www․")
    return f"`{plain.strip() or '–'}`"


def comment(result: PullResult) -> str:
    """Return the comment: verdict, neighbours on the board, a strip over the seeds, failures and who has to act."""
    track = result.track
    smoke = " (smoke run: one seed, no rank)" if result.kind == "smoke" else ""
    lines = [f"### unlearn-bench: `{track.name}`{smoke}", ""]
    if result.refusals:
        lines += ["**Refused**; nothing was run.", ""]
        for refusal in result.refusals:
            subject = f"`{refusal.path}`" if refusal.path else "The pull request, or a file of it,"
            lines.append(f"- {subject} {refusal.what}: {refusal.remedy}")
        lines.append("")
    for entry in result.entries:
        lines += _entry(entry, track.sealed)
    harness = result.harness
    source = "of the base commit" if harness.matches_base else "**not that of the base commit**"
    lines.append(
        f"<sub>head `{result.head[:12]}` · base `{result.base[:12]}` · harness {_plain(harness.version)} "
        f"`{harness.digest[:12]}`, {source} · {result.date}</sub>"
    )
    return "\n".join(lines) + "\n"


def _entry(entry: EntryResult, sealed: bool) -> list[str]:
    lines = [f"**`{entry.name}`** {title(entry.title)} ({entry.change})", ""]
    lines += [f"**{_plain(entry.verdict) or 'not on the board'}**", ""]
    if entry.neighbours:
        lines += [board_documents.markdown(_frame(entry.neighbours)), ""]
    counts = ", ".join(f"{count} {status}" for status, count in entry.statuses.items())
    if sealed:
        lines += [f"units: {counts}", ""]
    elif entry.seeds:
        signs = " ".join(f"{seed.seed}{'✓' if seed.status == 'ok' else '✗'}" for seed in entry.seeds)
        metrics = [metric for metric in judged() if hasattr(entry.seeds[0], metric.name)]
        bars = [f"{metric.title} {_strip([getattr(seed, metric.name) for seed in entry.seeds])}" for metric in metrics]
        lines += [f"seeds `{signs}` · {' · '.join(bars)}", ""]
    if entry.status != "ok":
        failed_seeds = [str(seed.seed) for seed in entry.seeds if seed.status == entry.status]
        place = f" on seed {', '.join(failed_seeds)}" if failed_seeds else ""
        how = "" if entry.status == "not-applicable" else "failed: "
        lines += [f"{how}`{entry.status}`{place}. Whose: {_plain(entry.whose)}. {_plain(entry.remedy)}", ""]
    return lines


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    for column in map(str, frame.columns):
        if column not in TEXTS and not column.startswith("group_"):
            frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame["entry"] = "`" + frame["entry"].astype(str) + "`"  # a name like www.example.org would become a link
    for column in ("verified", "inconsistent", "provisional", "state", "reason"):
        frame[column] = frame[column].fillna("") if column in frame else ""
    for column in ("seeds_ok", "seeds_total"):
        frame[column] = frame[column].fillna(0).astype(int)
    return frame


def _strip(values: list[float | None]) -> str:
    """Return one bar per seed, scaled from the least to the largest value; a dot where a seed has none."""
    present = np.array([value for value in values if value is not None], dtype=np.float64)
    if not present.size:
        return cells.NONE
    low, span = present.min(), max(float(np.ptp(present)), 1e-12)
    bars = ["·" if value is None else BARS[int((value - low) / span * (len(BARS) - 1) + 0.5)] for value in values]
    return f"`{''.join(bars)}`"


def _plain(text: str) -> str:
    """Return a document's text of the benchmark itself on one line, so that nothing of it acts as Markdown."""
    return one_line(text, 400).translate({k: v for k, v in HARMLESS.items() if chr(k) not in "`"}).replace("*", "∗")
