"""Stores on disks that are read-only or full, or that have no locks; a home that cannot exist."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.sandbox import stage
from unlearn_bench.sandbox.types import Job, Limits

JOB = Job(b"", {}, {}, b"", Path(), (), (), 1, 0, Limits(deadline=1))
NOWHERE = "/dev/null/home"
"""A folder that nobody can make, not even root."""


@pytest.fixture(autouse=True)
def unmounted(home: Path) -> Iterator[None]:
    yield
    if home.is_mount():
        subprocess.run(["umount", "--lazy", home], check=True)


@pytest.fixture
def disk(home: Path) -> Path:
    """An empty file system at the user's store; needs root."""
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(home)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("READ-ONLY AND FULL DISKS ARE NOT TESTED: mounting a file system needs root")
    return home


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def full(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.fixture
def no_locks(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let everything below a folder refuse locks as NFS without its lock service does."""
    real = fcntl.flock

    def refuse(folder: Path) -> None:
        def flock(fd: object, mode: int) -> None:
            number = fd if isinstance(fd, int) else fd.fileno()  # type: ignore[attr-defined]
            if Path(f"/proc/self/fd/{number}").readlink().is_relative_to(folder):
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
            real(number, mode)

        monkeypatch.setattr(fcntl, "flock", flock)

    return refuse


def unscored() -> None:
    """Store a record of an entry whose scores are not known."""
    references = References(load_track("digits-resnet18"), Store())
    record = unit_store.seed_records(references.store, references.track)[0]
    replace(record, name="mine", sha256="0" * 64, entry="1" * 64, key="2" * 64).save(references.store)


@pytest.mark.parametrize("make", [read_only, full])
def test_a_board_can_be_looked_at_where_nothing_can_be_written(disk: Path, make: Callable[[Path], None]) -> None:
    unscored()
    make(disk)
    board = run("leaderboard", "--format", "csv")
    assert board.exit_code == 0 and "mine" in board.stdout and "is not kept" in board.stderr
    assert run("show", "mine").exit_code == 0
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    (disk / "filler").unlink(missing_ok=True)
    assert run("leaderboard", "--format", "csv").stdout == board.stdout and list(disk.glob("scores/*/*/222*.json"))


def test_what_must_write_says_that_the_store_is_read_only(disk: Path, small: Path) -> None:
    read_only(disk)
    result = run("prepare", str(small))
    assert result.exit_code == 20 and "whose:  this machine" in result.stderr and str(disk) in result.stderr
    assert "Traceback" not in result.output


def test_a_damaged_file_of_a_read_only_store_is_named_and_left(disk: Path) -> None:
    Store().write("disqualified", "a", {"history": []})
    path = disk / "disqualified" / "a.json"
    path.write_bytes(path.read_bytes().replace(b"[", b"{{{"))
    read_only(disk)
    result = run("doctor", "--store")
    assert result.exit_code == 20 and f"{path}: it does not match" in result.stdout
    assert "cannot be set aside" in result.stdout and path.exists()


def test_a_home_that_cannot_exist_is_read_as_empty_and_named_when_it_is_written(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run("leaderboard", "--format", "csv").stdout
    monkeypatch.setenv("BENCH_HOME", NOWHERE)
    assert run("leaderboard", "--format", "csv").stdout == before
    result = run("prepare", str(small))
    assert result.exit_code == 20 and NOWHERE in result.stderr and "BENCH_HOME" in result.stderr


def test_an_unexpected_error_on_a_read_only_disk_shows_one_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", NOWHERE)
    monkeypatch.setattr("unlearn_bench.harness.workflows.leaderboard.Snapshot", lambda: 1 / 0)
    result = run("leaderboard")
    assert result.exit_code == 20 and result.stderr.count("Traceback") == 1 and "ZeroDivisionError" in result.stderr


def test_a_store_without_locks_is_locked_on_this_machine(
    home: Path, no_locks: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    no_locks(home)
    with caplog.at_level(logging.WARNING, "unlearn_bench"), Store().lock("training"):
        (lock,) = device_locks.folder().iterdir()
        with device_locks.opened(lock) as fd:
            assert not device_locks.try_lock(fd, fcntl.LOCK_EX), "another process of this machine waits"
        with Store().lock("another"):
            pass
    assert "hold on this machine only" in caplog.text
    Store().write("kind", "name", {})


def test_device_locks_need_a_file_system_with_locks(no_locks: Callable[[Path], None]) -> None:
    no_locks(device_locks.folder())
    with pytest.raises(BenchError, match="cannot be locked") as caught, DeviceLocks(["cpu-0"]).hold():
        pass
    assert "BENCH_LOCKS" in caught.value.remedy and caught.value.whose == "this machine"


def test_a_temporary_folder_without_locks_is_named(
    tmp_path: Path, no_locks: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    no_locks(tmp_path)
    with pytest.raises(stage.StageError, match="set TMPDIR"), stage.staged(JOB):
        pass
    assert list(tmp_path.glob(f"{stage.PREFIX}*")) == []
