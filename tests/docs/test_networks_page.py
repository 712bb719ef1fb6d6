"""The page of networks shows what the benchmark's stored results say."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import architectures

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_table_of_the_stored_results() -> None:
    assert architectures.table() in (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
