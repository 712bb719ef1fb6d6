"""Which source this benchmark runs from, and whether it is that of a commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from unlearn_bench.harness.pulls.git import Repository, blob_id

ROOT = Path(__file__).parents[2]
FOLDERS = ("baselines", "harness", "sandbox", "scoring")
"""The installed folders of the repository; their files decide a score."""


@dataclass(frozen=True)
class Harness:
    """The running installation, compared with a commit."""

    version: str
    digest: str
    """SHA-256 over the paths and contents of all its files."""
    differing: tuple[str, ...]
    """Files that differ, or that only the installation or only the commit has; empty if the source is the commit's."""

    @property
    def matches(self) -> bool:
        """Whether every file is that of the commit."""
        return not self.differing

    @property
    def line(self) -> str:
        """The comparison in one line, for people."""
        if self.matches:
            return f"harness {self.version}: the source of the base commit"
        more = f" and {len(self.differing) - 3} more" if len(self.differing) > 3 else ""
        return f"harness {self.version}: NOT that of the base commit: {', '.join(self.differing[:3])}{more} differ"


def compare_with_commit(repository: Repository, commit: str, root: Path = ROOT) -> Harness:
    """Compare the installation at ``root`` with a commit's tree, file by file."""
    committed = {path.decode("utf-8", "replace"): blob for path, _, blob in repository.tree(commit, *FOLDERS)}
    installed, total = {}, hashlib.sha256()
    for path in sorted(_files(root)):
        content, name = path.read_bytes(), path.relative_to(root).as_posix()
        installed[name] = blob_id(content, commit)
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    differing = {name for name in {*committed, *installed} if committed.get(name) != installed.get(name)}
    return Harness(version("unlearn-bench"), total.hexdigest(), tuple(sorted(differing)))


def _files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (p for p in (root / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
