"""Text of strangers does nothing in any form of a board, on a page, in a comment or in a terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.harness.test_declarations import LITERALS, TEXT
from unlearn_bench.harness.pulls import comment
from unlearn_bench.harness.pulls import result as pull_result
from unlearn_bench.harness.pulls.result import BadResult
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report import board_files, columns
from unlearn_bench.harness.report.site.page_data import plain
from unlearn_bench.harness.report.site.templating import render_text
from unlearn_bench.harness.results import board
from unlearn_bench.harness.store.store import Snapshot
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.support.text import HIDDEN, visible
from unlearn_bench.harness.tracks.loading import load_track

FUZZED = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TRACK = load_track("digits-resnet18")
FORMULA = '=HYPERLINK("http://evil.example")'
FREE = ("entry", "reason", "inconsistent", "hardware", "provisional")
"""Columns of a board in which text of entries, or of another machine, may stand."""


@cache
def shipped() -> pd.DataFrame:
    """A few rows of the shipped board, with reference rows."""
    rows = board.board(References(TRACK, Snapshot()))
    return pd.concat([rows.head(3), rows[rows["state"] == "reference"]]).reset_index(drop=True)


class Hostile:
    """A board whose first row holds these texts."""

    track, null, floor, provenance = TRACK, {"retdev": 0.1}, 1.0, ""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.rows = shipped().copy()
        for column, text in texts.items():
            self.rows.loc[0, column] = text


def form(texts: Mapping[str, str], name: str) -> str:
    return board_files.board_file(Hostile(texts), name).decode()


TEXTS = st.fixed_dictionaries(dict.fromkeys(FREE, TEXT.map(lambda text: text.encode(errors="replace").decode())))
"""Without surrogates, which no table can hold."""
EVIL = dict.fromkeys(FREE, f"{FORMULA}<b>@all</b>|`x`\x1b[31m\u202e\n# a [a](http://e.example) www.e.example")


@FUZZED
@given(TEXTS)
@example(EVIL)
def test_no_cell_of_a_csv_file_is_a_formula_or_hides_anything(texts: dict[str, str]) -> None:
    text = form(texts, "csv")
    assert not HIDDEN.search(text)
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "＝")) and not re.match(r"-(?![\d.])", cell), cell
    read = pd.read_csv(io.StringIO(text), dtype=columns.dtypes(), keep_default_na=True)
    assert len(read) == len(shipped())


@FUZZED
@given(TEXTS)
@example(EVIL)
def test_a_markdown_table_stays_a_table_of_plain_text(texts: dict[str, str]) -> None:
    text = form(texts, "markdown")
    assert not HIDDEN.search(text)
    parser = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table")
    tokens = parser.parse(text)
    assert sum(token.type == "tr_open" for token in tokens) == len(shipped()) + 1
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "em_open", "em_close", "strong_open", "strong_close"}, kinds
    assert "@" not in text and "://" not in text and "www." not in text


@FUZZED
@given(TEXTS)
@example(EVIL)
def test_a_terminal_is_sent_no_control_characters(texts: dict[str, str]) -> None:
    assert not HIDDEN.search(form(texts, "table"))
    error = BenchError(texts["entry"], "your method", texts["reason"], 10, texts["hardware"])
    assert not HIDDEN.search(error.format_message())


@FUZZED
@given(TEXTS)
@example(EVIL)
def test_json_is_ascii_and_gives_the_text_back(texts: dict[str, str]) -> None:
    encodable = {column: text.encode("utf-8", "replace").decode() for column, text in texts.items()}
    text = form(encodable, "json")
    assert text.isascii()
    assert json.loads(text)["rows"][0]["reason"] == encodable["reason"]


class Elements(HTMLParser):
    """The tags of a page and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@FUZZED
@given(st.one_of(TEXT, LITERALS))
@example(EVIL["reason"])
def test_a_page_shows_text_as_it_is(value: object) -> None:
    shown = plain(value)
    site: Any = SimpleNamespace(links=())
    page = Elements(render_text(site, "<p title='{{ shown }}'>{{ shown }}</p>", shown=shown))
    assert page.tags == ["p"] and page.text == shown and not HIDDEN.search(shown)
    shown.encode()


SHA, COMMIT = "0" * 64, "0" * 40
SHOWN = TEXT.map(visible)
"""Text that a result may hold."""
CELLS = st.one_of(SHOWN, SHOWN, st.floats(-1e9, 1e9), st.integers(-9, 9), LITERALS)
ROWS = st.lists(
    st.dictionaries(st.sampled_from([*columns.columns()]), CELLS, max_size=9).map(
        lambda row: {**row, "entry": "www.example", "state": str(row.get("state", "ok"))}
    ),
    max_size=2,
)
SCORE = st.one_of(st.none(), st.floats(-1e9, 1e9), st.floats())


def document(verdict: str, remedy: str, rows: list[dict[str, Any]], scores: list[Any], title: str) -> dict[str, Any]:
    """Return a result of a sealed track, of which nothing can be computed again."""
    refusal = {"path": "submissions/other.py", "what": remedy[:300], "remedy": verdict[:300], "detail": title}
    seeds = [{"seed": 0, "status": "ok", "retdev": score, "indisc": score, "rte": 1.0} for score in scores]
    entry = {
        "name": "mine", "path": "submissions/mine.py", "blob": COMMIT, "sha256": SHA, "title": title[:80],
        "change": "added", "status": "crash", "exit_code": 11, "whose": "your method", "remedy": remedy[:300],
        "verdict": verdict[:400], "neighbours": rows, "statuses": {"ok": 1}, "seeds": seeds, "records": [],
        "shadow": None, "notes": [],
    }  # fmt: skip
    return {
        "format": pull_result.FORMAT, "kind": "score", "date": "2026-01-01T00:00:00+00:00", "base": COMMIT,
        "head": COMMIT, "merge_base": COMMIT,
        "harness": {"version": "1", "digest": SHA, "matches_base": True, "differing": []},
        "track": {"name": "cup", "title": "", "reference_digest": SHA, "protocol_digest": SHA, "analysis_digest": SHA,
                  "sealed": False},
        "status": "failed", "exit_code": 11, "refusals": [refusal], "entries": [entry], "invalid": [refusal],
    }  # fmt: skip


@FUZZED
@given(st.one_of(SHOWN, TEXT), SHOWN, ROWS, st.lists(SCORE, max_size=3), SHOWN)
@example("", "", [], [], "")
@example(
    visible(EVIL["reason"]), FORMULA, [{"entry": "mine", "state": "ok", "verified": "<b>@all"}], [1e9, -1e9], "<b>"
)
@example("", "", [{"entry": "mine", "state": "ok", "seeds_ok": 1e300, "position": 1e300}], [], "")
@example("", "", [{"entry": "mine", "state": "ok", "position": 1}], [], "")
def test_a_result_is_refused_or_its_comment_is_plain_text(
    verdict: str, remedy: str, rows: list[dict[str, Any]], scores: list[Any], title: str
) -> None:
    try:
        parsed = pull_result.parse(json.loads(json.dumps(document(verdict, remedy, rows, scores, title), default=repr)))
    except BadResult as error:
        assert not HIDDEN.search(error.format_message())
        return
    text = comment.comment(parsed)
    text.encode()
    assert not HIDDEN.search(text) and "@" not in text
    parser = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table")
    children = [child for token in parser.parse(text) for child in token.children or []]
    assert {child.content for child in children if child.type == "html_inline"} <= {"<sub>", "</sub>"}
    assert not {child.type for child in children} & {"link_open", "image"}
