"""A sealed track whose secret is known, so that it can be looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from unlearn_bench.harness.tracks import sealed
from unlearn_bench.harness.tracks.sealed import Secret

CANARY = Secret("c0ffee5a17" * 6, 0x5EC2E75EED000001, 0x5EC2E75EED000002, 0x5EC2E75EED000003, 0x5EC2E75EED000004)


def sealed_track(text: str, place: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write the file of a track of this text, with a quota of two, and its secret, which lies in ``BENCH_SECRETS``."""
    path, folder = place / "cup.toml", place / "secrets"
    path.write_text(sealed.seal(text, CANARY, 2))
    folder.mkdir()
    sealed.write(CANARY, "cup", folder / "cup.toml")
    patch.setenv(sealed.VARIABLE, str(folder))
    return path
