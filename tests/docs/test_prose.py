"""Documents: proselint finds nothing in them, by its own checks and by the project's list of words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from proselint.checks import __register__ as own_checks
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, Padding
from proselint.registry.checks.types import PreferredForms
from proselint.tools import LintFile

from tests.docs.test_links import ROOT, tracked_pages

WORDS = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
CODE = re.compile(r"^```.*?^```|<!--.*?-->", re.S | re.M)
OF_TABLES_AND_NAMES = ("dates_times", "lexical_illusions", "needless_variants", "spelling", "typography")
"""Checks of proselint that take tables, names and accents for mistakes."""


@pytest.fixture(scope="module")
def config() -> Config:
    def project(table: str, padding: Padding) -> Check:
        forms = {pattern.replace(" ", r"\s+"): better for pattern, better in WORDS[table].items()}
        message = "write: {} (not: {})"
        return Check(
            PreferredForms(forms, padding), path="project", message=message, flags=CheckFlags(allow_quotes=True)
        )

    registry = CheckRegistry()
    registry.register_many(own_checks)
    registry.register_many((project("words", Padding.WORDS_IN_TEXT), project("phrases", Padding.RAW)))
    checks = DEFAULT["checks"] | dict.fromkeys(OF_TABLES_AND_NAMES, False) | {"project": True}
    return Config(max_errors=1000, checks=checks)


def mistakes(text: str, config: Config) -> list[str]:
    """What is wrong with the prose of a page, line by line; code is none."""
    prose = CODE.sub(lambda block: "\n" * block[0].count("\n"), text)
    results = LintFile("page", re.sub(r"`[^`\n]+`", "`x`", prose)).lint(config)
    return [f"{found.pos[0]}: {found.check_result.message}" for found in results]


def test_the_documents_are_in_plain_english(config: Config) -> None:
    pages = {page.relative_to(ROOT): page.read_text(encoding="utf-8") for page in tracked_pages()}
    assert [f"{page}:{mistake}" for page, text in pages.items() for mistake in mistakes(text, config)] == []


@pytest.mark.parametrize(
    "sentence", ["Two pairs stand in each\nother's fits.", "It has a zero line.", "They run, too."]
)
def test_a_sentence_with_a_word_of_the_list_is_found(config: Config, sentence: str) -> None:
    assert len(mistakes(f"{sentence}\n", config)) == 1
    assert mistakes(f"```\n{sentence}\n```\n", config) == []
