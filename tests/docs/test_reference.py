"""The reference page is what the docstrings say."""

from __future__ import annotations

from pathlib import Path

from unlearn_bench.harness import api
from unlearn_bench.harness.api.reference_page import page

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_page_is_that_of_the_docstrings() -> None:
    command = "python -m unlearn_bench.harness.api.reference_page > docs/reference.md"
    assert PAGE.read_text(encoding="utf-8") == page(), f"run {command}"


def test_every_function_is_on_the_page_with_its_arguments() -> None:
    text = page()
    assert [name for name in api.__all__ if f"## `ub.{name}`" not in text] == []
    assert "### `ub.attack.ulira`" in text and "### `ub.plot.trade_off`" in text
    assert "* `seeds`: run only the first so many model seeds; a position needs all." in text
    assert ":func:" not in text and ":class:" not in text
