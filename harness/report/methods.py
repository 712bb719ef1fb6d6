"""What a method is called, and where it was published: from the metadata and the docstring of its file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unlearn_bench.harness.entries.entry import Entry

LONGEST = 60
"""Characters of a name; a summary whose beginning is longer has none before its colon."""
PUBLISHERS = tuple(
    f"https://{place}/"
    for place in ("arxiv.org", "doi.org", "openreview.net", "proceedings.mlr.press", "aclanthology.org")
)
_ARXIV = re.compile(r"arxiv\.org/abs/([\d.]+)")


@dataclass(frozen=True)
class Method:
    """The method of an entry. Text of participants, neither cut nor escaped."""

    name: str
    """In full where the summary of a shipped file begins with it, else the title."""
    year: str = ""
    paper: str = ""
    """An address that begins with https:; of entries that do not ship only where papers are published."""
    work: str = ""
    """The title of the paper where the docstring cites one."""


def method(entry: Entry) -> Method:
    """Return what an entry's file says of its method."""
    paper = str(entry.metadata.get("paper", ""))
    docstring = _docstring(entry)
    arxiv = _ARXIV.search(paper)
    cited = arxiv and re.search(rf'(\d{{4}}), "([^"]+)", arXiv:{arxiv[1]}', docstring)
    year = cited[1] if cited else _first(r"\b20\d\d\b", docstring)
    named, colon, _ = entry.summary.partition(":")
    full = named if entry.kind == "baseline" and colon and len(named) <= LONGEST else entry.title
    return Method(
        name=full,
        year=year if paper else "",
        paper=paper if _can_be_linked(paper, entry) else "",
        work=cited[2] if cited else "",
    )


def _can_be_linked(paper: str, entry: Entry) -> bool:
    return paper.startswith("https://" if entry.kind != "entry" else PUBLISHERS)


def _docstring(entry: Entry) -> str:
    parts = next(iter(entry.files.values())).decode("utf-8", "replace").split('"""')
    return " ".join(parts[1].split()) if len(parts) > 1 else ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""
