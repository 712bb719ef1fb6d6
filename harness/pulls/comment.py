"""The comment on a pull request, in Markdown, from a result.

Of a participant's text it shows only the title and the entry's name, whose alphabet is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unlearn_bench.harness.pulls.pull_request import Refusal
from unlearn_bench.harness.pulls.result import UNITS, EntryResult, PullResult
from unlearn_bench.harness.report import board_documents, cells
from unlearn_bench.harness.report.columns import dtypes
from unlearn_bench.harness.support.text import HARMLESS, markdown
from unlearn_bench.sandbox.text import one_line
from unlearn_bench.scoring.metric_table import judged

TITLE = 80
NOTES = 10
"""The most notes for the reviewer that are shown."""
BARS = "▁▂▃▄▅▆▇█"


def title(text: str) -> str:
    """Return a title as a code span: one line, at most 80 characters, no mention, link, HTML or backtick."""
    return f"`{markdown(one_line(text, TITLE)).strip() or '–'}`"


def comment(result: PullResult) -> str:
    """Return the comment: verdict, neighbours on the board, a strip over the seeds, failures and who has to act."""
    track = result.track
    smoke = " (smoke run: one seed, no rank)" if result.kind == "smoke" else ""
    lines = [f"### unlearn-bench: `{track.name}`{smoke}", ""]
    if result.refusals:
        lines += ["**Refused**; nothing was run.", "", *map(_refusal, result.refusals), ""]
    for entry in result.entries:
        lines += _entry(entry, track.sealed)
    if result.invalid:
        lines += ["**Invalid**; not run.", "", *map(_refusal, result.invalid), ""]
    harness = result.harness
    source = "of the base commit" if harness.matches_base else "**not that of the base commit**"
    lines.append(
        f"<sub>head `{result.head[:12]}` · base `{result.base[:12]}` · harness {_plain(harness.version)} "
        f"`{harness.digest[:12]}`, {source} · {result.date}</sub>"
    )
    return "\n".join(lines) + "\n"


def _refusal(refusal: Refusal) -> str:
    subject = f"`{refusal.path}`" if refusal.path else "The pull request, or a file of it,"
    return f"- {subject} {_plain(refusal.what)}: {_plain(refusal.remedy)}"


def _entry(entry: EntryResult, sealed: bool) -> list[str]:
    lines = [f"**`{entry.name}`** {title(entry.title)} ({entry.change})", ""]
    lines += [f"**{_plain(entry.verdict) or 'not on the board'}**", ""]
    if entry.neighbours:
        table = board_documents.markdown(_frame(entry.neighbours), name="`{}`".format)  # no link, whatever the name
        lines += [table, ""]
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
    if entry.notes:
        more = f"; and {len(entry.notes) - NOTES} more" if len(entry.notes) > NOTES else ""
        lines += [f"for the reviewer: {'; '.join(map(_plain, entry.notes[:NOTES]))}{more}", ""]
    return lines


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows of a board from a document, with all its columns: numbers are numbers, and text is harmless."""
    frame = pd.DataFrame(list(rows), columns=list(dtypes()))
    for column, dtype in dtypes().items():
        if column == "entry":
            continue  # the schema allows harmless characters only
        if dtype == "string":
            missing = None if column.startswith("group_") else ""
            frame[column] = [markdown(cell) if isinstance(cell, str) else missing for cell in frame[column]]
        else:
            frame[column] = pd.to_numeric(frame[column], errors="coerce").astype(float)
    for column in ("seeds_ok", "seeds_total"):
        frame[column] = frame[column].fillna(0).clip(0, UNITS).astype(int)
    frame["trusted"] = frame["trusted"] == 1
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
