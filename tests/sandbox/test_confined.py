"""What the kernel says of a process: everything that it does not do although it was asked for is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from unlearn_bench.sandbox.engine import confined
from unlearn_bench.sandbox.engine.cgroup import Cgroup
from unlearn_bench.sandbox.engine.confined import differences

STATUS = """Name:\tpython3
Uid:\t65534\t65534\t65534\t65534
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
"""
MOUNTS = """80 75 0:43 / / ro,relatime - overlay overlay rw
82 80 254:0 /unit /in ro,relatime - ext4 /dev/vda rw
84 80 0:42 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=32768k
85 80 0:46 / /run ro,nosuid,nodev,noexec - tmpfs tmpfs rw
"""
LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max core file size        0                    0                    bytes
Max open files            4096                 4096                 files
"""
HOST: dict[str, Any] = {
    "Tmpfs": {"/run": "ro,noexec,nosuid,nodev,mode=0555,size=4096"},
    "Ulimits": [{"Name": "nofile", "Hard": 4096}, {"Name": "core", "Hard": 0}],
    "Memory": 2**30,
    "PidsLimit": 64,
}


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a process 7 that is confined as it should be, and of this one beside it."""
    for name in ("7", "self"):
        (tmp_path / name / "ns").mkdir(parents=True)
        for namespace in confined.NAMESPACES:
            (tmp_path / name / "ns" / namespace).symlink_to(f"{namespace}:[{name}]")
    for file, text in (("status", STATUS), ("mountinfo", MOUNTS), ("limits", LIMITS)):
        (tmp_path / "7" / file).write_text(text)
    monkeypatch.setattr(confined, "PROC", tmp_path)
    return tmp_path / "7"


class Group(Cgroup):
    memory: int | None = 2**30
    processes: int | None = 64

    def __init__(self) -> None: ...

    def memory_limit(self) -> int | None:
        return self.memory

    def process_limit(self) -> int | None:
        return self.processes


def names(cgroup: Cgroup) -> list[str]:
    return [difference.name for difference in differences(7, HOST, cgroup)]


def test_a_confined_process_does_not_differ(proc: Path) -> None:
    assert names(Group()) == []


@pytest.mark.parametrize(
    ("file", "asked", "found", "name"),
    [
        ("status", "65534\t65534\t65534\t65534", "0\t0\t0\t0", "a user other than root"),
        ("status", "CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb", "CapBnd"),
        ("status", "NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs"),
        ("status", "Seccomp:\t2", "Seccomp:\t0", "Seccomp"),
        ("mountinfo", "/ / ro", "/ / rw", "/ read-only"),
        ("mountinfo", "/in ro", "/in rw", "/in read-only"),
        ("mountinfo", "nosuid,nodev,noexec,relatime", "nosuid,nodev,relatime", "/tmp mounted"),
        ("mountinfo", "/run ro", "/run rw", "/run mounted"),
        ("limits", "4096                 4096 ", "4096                 1048576", "ulimit nofile"),
        ("limits", "0                    0 ", "0                    unlimited", "ulimit core"),
    ],
)
def test_each_thing_that_is_missing_is_named(proc: Path, file: str, asked: str, found: str, name: str) -> None:
    text = (proc / file).read_text()
    assert asked in text
    (proc / file).write_text(text.replace(asked, found))
    assert names(Group()) == [name]


@pytest.mark.parametrize("namespace", confined.NAMESPACES)
def test_a_shared_namespace_is_named(proc: Path, namespace: str) -> None:
    (proc / "ns" / namespace).unlink()
    (proc / "ns" / namespace).symlink_to(f"{namespace}:[self]")
    assert names(Group()) == [f"{namespace} namespace shared with this process"]


def test_a_limit_that_the_kernel_does_not_keep_is_named(proc: Path) -> None:
    unlimited = Group()
    unlimited.memory, unlimited.processes = None, None
    assert names(unlimited) == ["memory limit", "process limit"]


def test_this_process_is_not_confined() -> None:
    found = {difference.name for difference in differences(os.getpid(), HOST, Cgroup(os.getpid(), "none"))}
    assert {"net namespace shared with this process", "/in read-only", "memory limit"} <= found
