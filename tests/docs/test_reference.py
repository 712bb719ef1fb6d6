"""The reference pages are what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import commands_page, records_page
from unlearn_bench.harness import api
from unlearn_bench.harness.api import reference_page
from unlearn_bench.harness.support.errors import EXIT_CODES, INTERRUPTED, USAGE

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "page", "module"),
    [
        ("reference", reference_page.page, "unlearn_bench.harness.api.reference_page"),
        ("commands", commands_page.page, "tests.docs.commands_page"),
        ("records", records_page.page, "tests.docs.records_page"),
    ],
)
def test_a_page_is_that_of_the_code(name: str, page: Callable[[], str], module: str) -> None:
    command = f"python -m {module} > docs/{name}.md"
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == page(), f"run {command}"


def test_every_function_is_on_the_page_with_its_arguments() -> None:
    text = reference_page.page()
    assert [name for name in api.__all__ if f"## `ub.{name}`" not in text] == []
    assert "### `ub.attack.ulira`" in text and "### `ub.plot.trade_off`" in text
    assert "* `seeds`: run only the first so many model seeds; a position needs all." in text
    assert ":func:" not in text and ":class:" not in text


def test_every_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+) \| (?:`([a-z-]+)`)?", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.M)
    explained = {int(code): status for code, status in codes}
    assert {status: code for code, status in explained.items() if status} == {s: c for s, c in EXIT_CODES.items() if c}
    assert {0, USAGE, INTERRUPTED} <= explained.keys()
