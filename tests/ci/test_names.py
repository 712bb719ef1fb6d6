"""Names: a reader who meets a class knows which one it is."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENTRIES = ("sandbox/attacks/", "sandbox/limit_checks/entries/")
"""Files that each stand for a submission of its own."""


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for folder in ("harness", "scoring", "sandbox"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(ENTRIES):
                for node in ast.parse(path.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                        places[node.name].append(name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
