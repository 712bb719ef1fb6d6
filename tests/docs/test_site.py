"""The documents build as a site without a warning, and its pages ask no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"<(?:script|link|img|source|iframe)\b[^>]*?\b(?:src|href|srcset)=[\"']?((?:https?:)?//[^\"' >]+)"
    r"|url\((https?:[^)]+)\)"
)


@pytest.mark.slow
def test_the_documents_build_as_a_site_that_needs_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {
        "NO_MKDOCS_2_WARNING": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stderr
    for place in (
        "index.html",
        "SECURITY.html",
        "docs/numbers.html",
        "harness/units/index.html",
        "docs/notebooks/my_method.ipynb",
    ):
        assert (tmp_path / place).is_file()
    files = [path for pattern in ("*.html", "*.css") for path in tmp_path.rglob(pattern)]
    assert len(files) > 50
    assert [(path.name, found) for path in files for found in LOADED.findall(path.read_text(encoding="utf-8"))] == []
