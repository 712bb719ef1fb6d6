"""The board over several tracks for a terminal, with the paper's tables beside it, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from unlearn_bench.harness.report.cells import NONE, mean, number, position, position_range, shortened
from unlearn_bench.harness.report.paper_sentences import sentences, signed
from unlearn_bench.harness.report.wording import counted, listed
from unlearn_bench.harness.results.paper_comparison import COLUMNS, METRICS, PaperComparison
from unlearn_bench.scoring.board import LETTERS
from unlearn_bench.scoring.metric_table import metric_named, ranked

WIDTH, NAME, CELL = 100, 15, 14
"""Characters of a line, of the column of names, and of a cell."""
GROUPS_WIDTH, MEANS_WIDTH = 39, 27
"""Characters of all columns of groups, and of all columns of means."""
SETTING = 16
"""Characters of the column of settings."""


def table(board: pd.DataFrame, comparison: PaperComparison) -> str:
    """Return the ranked board over several tracks, and Tables 1 and 2 and Figure 1 of the paper beside ours."""
    tables = (_table1(comparison), _table2(comparison), _figure1(comparison), _agreement(comparison))
    blocks = [_ranking(board, [each.name for each in comparison.boards]), *map(list, tables)]
    blocks.append(_wrapped(" ".join(sentences(comparison))))
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _ranking(board: pd.DataFrame, tracks: Sequence[str]) -> list[str]:
    """Return positions and counts over all tracks, of the entries that ran on every one."""
    above = f"{' groups, 1·2·3·F ':─^{GROUPS_WIDTH}}{' means ':─^{MEANS_WIDTH}}"
    heads = "".join(f"{metric.title:>{GROUPS_WIDTH // len(ranked())}}" for metric in ranked())
    means = "".join(f"{metric.heading or metric.title:>{MEANS_WIDTH // len(ranked())}}" for metric in ranked())
    head = f"{'pos':<6}{'range':<6}{'method':<{NAME}}{heads}{means}"
    lines = _wrapped(f"The board over {counted(len(tracks), 'track')}: {listed(tracks)}")
    lines += [" " * (12 + NAME) + above, head, "─" * len(head)]
    for _, row in board.iterrows():
        reference = row["state"] == "reference"
        counts = [NONE if reference else _counts(row, metric.name) for metric in ranked()]
        cells = "".join(f"{cell:>{GROUPS_WIDTH // len(counts)}}" for cell in counts)
        cells += "".join(f"{mean(metric, row):>{MEANS_WIDTH // len(counts)}}" for metric in ranked())
        name = shortened(str(row["entry"]), NAME)
        lines.append(f"{position(row):<6}{position_range(row):<6}{name:<{NAME}}{cells}")
    return [*lines, "1·2·3·F: on how many tracks it is in G1, G2, G3 or F; no better than Original counts as F"]


def _counts(row: pd.Series[int], metric: str) -> str:
    return "·".join(str(int(row[f"{letter}_{metric}"])) for letter in LETTERS)


def _table1(comparison: PaperComparison) -> Iterator[str]:
    tracks = counted(len(comparison.boards), "track")
    yield f"Table 1: rank, and on how many of {tracks} G1·G2·G3·F (F: no usable models); paper: of 9 settings"
    heads = [f"{metric_named(metric).title}{end}" for metric in METRICS for end in ("", ", paper")][:-1]
    head = f"{'method':<{NAME}}" + "".join(f"{title:>{CELL + 3}}" for title in heads)
    yield head
    yield "─" * len(head)
    for method in comparison.published.methods:
        tables = [comparison.counts["retdev"], comparison.published.counts["retdev"]]
        tables += [comparison.counts["indisc"], comparison.published.counts["indisc"], comparison.counts["forgetting"]]
        cells = (f"{rank_and_counts(counts, method):>{CELL + 3}}" for counts in tables)
        yield f"{method:<{NAME}}{''.join(cells)}"


def rank_and_counts(counts: pd.DataFrame, method: str) -> str:
    """Return ``3  7·1·1·0``: the rank, a dash where it has none, and the counts of G1, G2, G3 and F."""
    row = counts.loc[[method]].to_dict("records")[0]
    rank = NONE if pd.isna(row["rank"]) else str(int(row["rank"]))
    return f"{rank}  {'·'.join(str(int(row[letter])) for letter in LETTERS)}"


def _table2(comparison: PaperComparison) -> Iterator[str]:
    yield "Table 2: RTE on ResNets per data set: how many times faster than retraining"
    for where, speeds in (("here", comparison.speed), ("paper", comparison.published.speed)):
        widths = {name: max(len(name) + 2, 8) for name in map(str, speeds)}
        head = f"{where:<{NAME}}" + "".join(f"{name:>{width}}" for name, width in widths.items())
        yield head
        yield "─" * len(head)
        for method, row in speeds.iterrows():
            if row.notna().any():
                yield f"{method!s:<{NAME}}" + "".join(f"{_times(row[name]):>{width}}" for name, width in widths.items())


def _times(value: float) -> str:
    return NONE if np.isnan(value) else f"{value:.1f}×"


def _figure1(comparison: PaperComparison) -> Iterator[str]:
    yield "Figure 1: accuracy of U-LiRA, forgotten against never seen; the paper prints no numbers"
    for board in comparison.boards:
        inside = board.inside_band().sort_index()
        if inside.empty:
            yield f"{board.name}: U-LiRA has not run"
            continue
        band = f"{number(board.null['ulira_low'], 3)} to {number(board.null['ulira_high'], 3)}"
        values = board.rows["ulira"][inside.index].sort_values(kind="stable")
        parts = []
        for words, wanted in (("interval reaches into the null band", True), ("above or below it", False)):
            named = [f"{name} {number(value, 3)}" for name, value in values.items() if inside[str(name)] == wanted]
            parts.append(f"{words}: {', '.join(named) or 'none'}")
        yield from _wrapped(f"{board.name} (null band {band}): {'; '.join(parts)}", indent="  ")


def _agreement(comparison: PaperComparison) -> Iterator[str]:
    yield "Kendall’s τ between the order of the methods here and as published, 95 % over resampled methods"
    titles = [metric_named(metric).title for metric, _ in COLUMNS]
    yield " " * SETTING + "".join(f"{title:>{CELL}}" for title in titles)
    yield f"{'setting':<{SETTING}}" + "".join(f"{source:>{CELL}}" for _, source in COLUMNS)
    yield "─" * (SETTING + CELL * len(COLUMNS))
    for setting, found in comparison.agreements.items():
        of_columns = [found.get(column) for column in COLUMNS]
        taus = "".join(f"{signed(each.tau) if each else NONE:>{CELL}}" for each in of_columns)
        yield f"{shortened(setting, SETTING + 1):<{SETTING}}{taus}"
        intervals = (f"{signed(each.low)}…{signed(each.high)}" if each else "" for each in of_columns)
        yield (" " * SETTING + "".join(f"{interval:>{CELL}}" for interval in intervals)).rstrip()
    yield "paper: its ranks over nine settings (Forgetting: by Indisc; RTE: Table 2); replication: on CIFAR-10"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
