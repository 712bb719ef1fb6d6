"""Documents of newer versions are read; damaged ones are named."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import review
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import SwapRecord, YardstickRecord
from unlearn_bench.harness.units.unit_kinds import SwapUnit, YardstickUnit


@dataclass(frozen=True)
class Inner:
    number: float


@dataclass(frozen=True)
class Outer:
    name: str
    status: Literal["ok", "crash"]
    count: int
    inner: tuple[Inner, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    missing: float | None = None


DOCUMENT = {"name": "n", "status": "ok", "count": 1, "inner": [{"number": 1}]}


def test_a_dataclass_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store, content = Store(tmp_path, behind=None), Outer("n", "ok", 1, (Inner(0.5), Inner(2.0)), {"a": [1]}, 3.0)
    documents.write(store, "kind", "name", content)
    assert documents.read(store, "kind", "name", Outer) == content
    assert json.loads((tmp_path / "kind" / "name.json").read_text())["format"] == documents.FORMAT


def test_keys_of_newer_versions_are_ignored_and_defaults_fill_those_of_older_ones() -> None:
    newer = {**DOCUMENT, "more": 1, "inner": [{"number": 1, "more": 1}]}
    assert msgspec.convert(newer, Outer) == Outer("n", "ok", 1, (Inner(1),), {}, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, r"got `null` - at `\$.name`"),
        ({"name": ...}, "missing required field `name`"),
        ({"status": "won"}, r"'won' - at `\$.status`"),
        ({"count": True}, r"got `bool` - at `\$.count`"),
        ({"count": 1.5}, r"got `float` - at `\$.count`"),
        ({"inner": {}}, r"got `object` - at `\$.inner`"),
        ({"inner": [{"number": "1"}]}, r"got `str` - at `\$.inner\[0\].number`"),
        ({"inner": [{}]}, r"field `number` - at `\$.inner\[0\]`"),
        ({"facts": []}, r"got `array` - at `\$.facts`"),
        ({"missing": "x"}, r"got `str` - at `\$.missing`"),
    ],
)
def test_what_is_not_of_the_form_is_named_with_its_place(change: dict[str, Any], words: str) -> None:
    content = {key: value for key, value in {**DOCUMENT, **change}.items() if value is not ...}
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(content, Outer)


def test_a_damaged_document_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    store.write("kind", "name", {**DOCUMENT, "count": "one"})
    with pytest.raises(StoreError, match="Expected `int`") as caught:
        documents.read(store, "kind", "name", Outer)
    assert str(tmp_path / "kind" / "name.json") in str(caught.value)


def test_a_document_that_only_a_newer_version_can_read_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    store.write("kind", "name", {"format": documents.FORMAT + 1})
    with pytest.raises(StoreError, match="update the benchmark"):
        documents.read(store, "kind", "name", Outer)


def extend(home: Path, kind: str) -> int:
    """Write all documents of a kind as a newer version would, and return their number."""
    store = Store(home, behind=None)
    documents_of_kind = list(store.all(kind))
    for name, content in documents_of_kind:
        store.write(kind, name, {**content, "of a newer version": {"a": 1}, "format": 99})
    return len(documents_of_kind)


KINDS = ("units", "scores", "shadows", "shadow-scores", "labels", "references")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_key_in_any_shipped_document_leaves_the_board_as_it_is(kind: str, home: Path) -> None:
    before = run("leaderboard", "--format", "json").stdout
    shutil.copytree(SHIPPED / kind, home / kind)
    assert extend(home, kind) and run("leaderboard", "--format", "json").stdout == before


@pytest.mark.slow
def test_an_unknown_key_in_what_is_added_to_a_store_leaves_the_board_as_it_is(home: Path) -> None:
    references = References(load_track("digits-resnet18"), Store())
    entries = {entry.name: entry for entry in board_entries(references)}
    ft, record = entries["ft"], entries["ft"].records[0]
    review.keep(references, record, review.Rerun(0, "inconsistent", record.date, record.date))
    review.disqualify(references.store, "ct", entries["ct"].sha256, "a copy")
    unit_store.write(references.store, YardstickUnit, references.track, ft.entry_id, "0", YardstickRecord(1e-3))
    unit_store.write(
        references.store, SwapUnit, references.track, ft.entry_id, "0", SwapRecord("ok", "", None, 9.0, True)
    )
    commands = (("leaderboard", "--format", "json"), ("show", "ft", "--json"))
    before = [run(*command).stdout for command in commands]
    assert (
        '"state": "disqualified"' in before[0].replace('":"', '": "')
        and "CPU seconds for as many examples of R and F is 9.00" in before[1]
    )
    for kind in [path.name for path in home.iterdir()]:
        extend(home, kind)
    assert [run(*command).stdout for command in commands] == before
