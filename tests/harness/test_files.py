"""Files that commands write beside the store: whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unlearn_bench.harness.support.files import write_new


def test_a_new_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "secret.toml", b"seeds")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "secret.toml"
    write_new(path, b"seeds", mode=0o600)
    with pytest.raises(FileExistsError):
        write_new(path, b"other seeds")
    assert path.read_bytes() == b"seeds" and path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
