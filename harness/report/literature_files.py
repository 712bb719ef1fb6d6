"""The literature's columns of a track in each of the forms of ``bench leaderboard``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import pandas as pd

from unlearn_bench.harness.report.board_documents import as_csv
from unlearn_bench.harness.report.cells import NONE, mean_with_interval, number, shortened
from unlearn_bench.harness.report.latex import bibliography, escaped
from unlearn_bench.harness.report.text_table import PLAIN, Look, wrapped
from unlearn_bench.harness.support import text
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.literature_columns import COLUMNS, MIA
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.seed_rows import NO_BETTER, OK

COMPLETE = (OK, NO_BETTER, "reference")
"""States of rows whose means are over all seeds of models that can be used."""
NAME, CELL = 15, 6
"""Characters of the first column of the terminal's table, and of the others."""


class LiteratureRows(Protocol):
    """What the forms show."""

    @property
    def track(self) -> Track:
        """The track."""

    @property
    def rows(self) -> pd.DataFrame:
        """See ``harness.results.literature.table``."""

    @property
    def notes(self) -> Sequence[str]:
        """What the numbers lack, as sentences."""


def literature_file(table: LiteratureRows, form: str, look: Look = PLAIN) -> bytes:
    """Return the table as ``table``, ``markdown``, ``latex``, ``bibtex``, ``csv``, ``json`` or ``parquet``.

    ``look``: of the form ``table``.
    """
    if form == "parquet":
        content: bytes = _typed(table.rows).to_parquet(index=False, engine="pyarrow")
        return content
    if form == "csv":
        return as_csv(_typed(table.rows)).encode()
    if form == "bibtex":
        return f"{bibliography(table.rows)}\n".encode()
    if form == "table":
        return f"{terminal(table, look)}\n".encode()
    forms = {"markdown": markdown, "latex": latex, "json": as_json}
    return f"{forms[form](table)}\n".encode()


def terminal(table: LiteratureRows, look: Look = PLAIN) -> str:
    """Return the table for a terminal, without intervals; on a narrow one the columns stand in several blocks."""
    lines = wrapped(f"{table.track.name} — {table.track.analysis.title}", look)
    at_once = (look.width - NAME) // CELL
    for start in range(0, len(COLUMNS), at_once):
        lines += _block(table.rows, COLUMNS[start : start + at_once])
    notes = ["means over the seeds, in the order of names; nothing is ranked; null model: a second retrained one"]
    notes.append("gap, ToW, JS and act compare with Retrain of the same seed; what each can see: docs/literature.md")
    if (~table.rows["state"].isin(COMPLETE)).any():
        notes.append("* its state on the board is not ok: see bench leaderboard")
    return "\n".join([*lines, *(line for note in [*notes, *table.notes] for line in wrapped(note, look))])


def _block(rows: pd.DataFrame, columns: Sequence[Metric]) -> list[str]:
    """Return some of the columns with the names of all rows, reference rows last."""
    signals = [index for index, column in enumerate(columns) if column in MIA]
    lines = []
    if signals:
        title = " MIA-efficacy " if len(signals) > 2 else " MIA "
        lines.append(" " * (NAME + CELL * signals[0]) + f"{title:─^{CELL * len(signals)}}")
    head = f"{'method':<{NAME}}" + "".join(f"{_heading(column):>{CELL}}" for column in columns)
    references = rows["state"] == "reference"
    lines += [head, "─" * len(head), *(_line(row, columns) for _, row in rows[~references].iterrows())]
    return [*lines, "─" * len(head), *(_line(row, columns) for _, row in rows[references].iterrows())]


def markdown(table: LiteratureRows) -> str:
    """Return the table as Markdown; reference rows last."""
    heads = ["method", *(column.title for column in COLUMNS)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for _, row in table.rows.iterrows():
        cells = [
            text.markdown(_named(row)),
            *(mean_with_interval(row, column.name, column.digits) for column in COLUMNS),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def latex(table: LiteratureRows) -> str:
    """Return a table environment over two columns that compiles with booktabs under pdflatex; reference rows last."""
    first, last = 2 + COLUMNS.index(MIA[0]), 2 + COLUMNS.index(MIA[-1])
    heads = ["method", *(escaped(_heading(column)) for column in COLUMNS)]
    track = table.track
    lines = [
        f"% bench leaderboard --track {track.name} --columns literature --format latex; needs \\usepackage{{booktabs}}",
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{1.5pt}",
        f"\\caption{{{_caption(table)}}}",
        f"\\label{{tab:{track.name}-literature}}",
        f"\\begin{{tabular}}{{l{'r' * len(COLUMNS)}}}",
        r"\toprule",
        f"{'& ' * (first - 1)}\\multicolumn{{{len(MIA)}}}{{c}}{{MIA-efficacy}}{' &' * (len(heads) - last)} \\\\",
        f"\\cmidrule(lr){{{first}-{last}}}",
        f"{' & '.join(heads)} \\\\",
        r"\midrule",
    ]
    references = table.rows["state"] == "reference"
    lines += [_latex_row(row) for _, row in table.rows[~references].iterrows()]
    lines.append(r"\midrule")
    lines += [_latex_row(row) for _, row in table.rows[references].iterrows()]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"])


def as_json(table: LiteratureRows) -> str:
    """Return track, digests, the meaning of every column, notes, and rows."""
    track = table.track
    content = {
        "track": track.name,
        "title": track.analysis.title,
        "reference_digest": track.reference_digest,
        "protocol_digest": track.protocol_digest,
        "analysis_digest": track.analysis_digest,
        "columns": {column.name: column.meaning for column in COLUMNS},
        "notes": list(table.notes),
        "rows": json.loads(_typed(table.rows).to_json(orient="records", double_precision=6)),
    }
    return json.dumps(content, indent=1)


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with missing numbers instead of NaN."""
    floats = rows.select_dtypes("float").columns
    return rows.astype(dict.fromkeys(floats, "Float64"))


def _heading(column: Metric) -> str:
    return column.heading or column.title


def _line(row: pd.Series[Any], columns: Sequence[Metric]) -> str:
    sign = "" if row["state"] in COMPLETE else "*"
    name = shortened(text.visible(str(row["entry"])), NAME - len(sign)) + sign
    return f"{name:<{NAME}}" + "".join(f"{number(row[column.name], column.digits):>{CELL}}" for column in columns)


def _named(row: pd.Series[Any]) -> str:
    return str(row["entry"]) if row["state"] in COMPLETE else f"{row['entry']} ({row['state']})"


def _latex_row(row: pd.Series[Any]) -> str:
    return " & ".join([escaped(_named(row)), *(_latex_cell(row, column) for column in COLUMNS)]) + r" \\"


def _latex_cell(row: pd.Series[Any], column: Metric) -> str:
    if pd.isna(row[column.name]):
        return escaped(NONE)
    half = (row[f"{column.name}_high"] - row[f"{column.name}_low"]) / 2
    interval = f"_{{\\pm {number(half, column.digits)}}}" if half else ""
    return f"${number(row[column.name], column.digits)}{interval}$"


def _caption(table: LiteratureRows) -> str:
    track = table.track
    meanings = "; ".join(f"{_heading(column)}: {column.meaning.partition(':')[0]}" for column in COLUMNS[-6:])
    sentences = [
        escaped(track.analysis.title or track.name),
        "Means over seeds with 95\\,\\% intervals; no column is ranked; null model: a second retrained one",
        f"UA: 1 $-$ accuracy on the forget set; MIA-efficacy: share of it that an SVM on {_signals()} takes for unseen",
        escaped(meanings),
        f"Track {escaped(track.name)}, reference {track.reference_digest[:12]}, protocol {track.protocol_digest[:12]}",
    ]
    return ". ".join([*sentences, *(escaped(note) for note in table.notes)]) + "."


def _signals() -> str:
    names = [column.name.removeprefix("mia_").replace("_", " ") for column in MIA]
    return f"{', '.join(names[:-1])} or {names[-1]}"
