"""READMEs of the packages: each has one, which names every file that is there and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(file.parent for file in ROOT.glob("harness/*/__init__.py"))


def listed(package: Path) -> set[str]:
    code = re.findall(r"`([^`\n]+)`", (package / "README.md").read_text(encoding="utf-8"))
    return {name for name in re.findall(r"[\w/]+\.py\b", "\n".join(code)) if not name.startswith(("my_", "test_"))}


@pytest.mark.parametrize("package", [*PACKAGES, ROOT / "sandbox", ROOT / "scoring"], ids=lambda path: path.name)
def test_a_readme_lists_the_files_of_its_package(package: Path) -> None:
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert modules - listed(package) == set()
    bases = (package, package.parent, ROOT)
    assert {name for name in listed(package) if not any((base / name).exists() for base in bases)} == set()


def test_the_readme_of_the_harness_lists_its_packages() -> None:
    text = (ROOT / "harness" / "README.md").read_text(encoding="utf-8")
    assert [package.name for package in PACKAGES if f"[`{package.name}/`]({package.name}/README.md)" not in text] == []
