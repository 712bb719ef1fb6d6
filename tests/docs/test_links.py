"""Documents: every link inside the repository leads to a file, and to a heading where it names one."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def tracked_pages() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listing.stdout.splitlines()]


@cache
def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or (anchor != "" and anchor not in anchors(target))


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    links = [(page, link) for page in tracked_pages() for link in LINK.findall(page.read_text(encoding="utf-8"))]
    inside = [(page, link) for page, link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert len(inside) > 40
    assert [f"{page.relative_to(ROOT)}: {link}" for page, link in inside if broken(page, link)] == []
