"""Hook of MkDocs: give the site the layout of the repository, so that every link works in both places.

The site has every tracked Markdown file at its own path, everything in ``docs/``, and each other file that a page
links to.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")


def on_files(files: Files, config: Any) -> Files:
    """Replace the files of ``docs/`` by those of the whole repository, keeping what the theme added."""
    of_theme = [file for file in files if file.src_dir != config.docs_dir]
    of_repository = [File(path, str(ROOT), config.site_dir, use_directory_urls=False) for path in paths()]
    return Files(of_theme + of_repository)


def paths() -> list[str]:
    """Return the paths of the site's files, relative to the repository."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = listing.stdout.splitlines()
    pages = [path for path in tracked if path.endswith(".md")]
    linked = {target for page in pages for target in targets(page)}
    assets = [path for path in tracked if path.startswith("docs/") and not path.endswith((".md", ".py"))]
    return [*pages, *assets, *sorted(linked.intersection(tracked).difference(pages, assets))]


def targets(page: str) -> list[str]:
    """Return what a page links to, relative to the repository."""
    folder = (ROOT / page).parent
    links = [link for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")) if ":" not in link]
    inside = [path for link in links if (path := (folder / link).resolve()).is_relative_to(ROOT)]
    return [path.relative_to(ROOT).as_posix() for path in inside]
