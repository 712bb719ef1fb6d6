"""The page of findings is what the shipped records say."""

from __future__ import annotations

from pathlib import Path

from tests.harness.conftest import run

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"


def test_the_page_of_findings_is_what_the_command_prints(tmp_path: Path) -> None:
    printed = run("findings", env={"BENCH_HOME": str(tmp_path / "home")}).stdout
    assert PAGE.read_text(encoding="utf-8") == printed, "run bench findings > docs/findings.md"
