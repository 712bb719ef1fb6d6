"""Podman: what it is asked for, what it cannot keep, and what is set from outside in its place."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unlearn_bench.sandbox.backends import podman
from unlearn_bench.sandbox.backends.podman import Podman, PodmanEngine
from unlearn_bench.sandbox.engine.readback import NotEnforced
from unlearn_bench.sandbox.tiny import MODEL
from unlearn_bench.sandbox.types import LIMITS, MIB, Job

ALL = frozenset(podman.CONTROLLED)


def engine(*missing: str, rootless: bool = True) -> PodmanEngine:
    return PodmanEngine(rootless, frozenset(missing), {"engine": "5"})


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Podman:
    """The back end where no engine answers."""
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/none.sock")
    return Podman()


def asked(backend: Podman, job: Job, folder: Path) -> Any:
    (folder / "unit").mkdir()
    return backend._settings(job, "sha256:0", folder / "unit", {"DefaultRuntime": "crun"})["host_config"]


def ulimits(host: Any) -> dict[str, int]:
    return {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]}


def test_every_limit_is_promised_and_asked_for_where_all_controllers_are(
    backend: Podman, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    backend.__dict__["_engine"] = engine()
    host = asked(backend, make_job("", cpus=(1,)), tmp_path)
    assert backend.enforces == LIMITS
    assert (host["Memory"], host["PidsLimit"], host["CpusetCpus"], host["NanoCpus"]) == (2048 * MIB, 64, "1", 10**9)
    assert host["SecurityOpt"][1] == f"seccomp={tmp_path / 'seccomp.json'}"
    assert {"/run", "/var/tmp"} <= set(host["Tmpfs"])


def test_limits_of_missing_controllers_are_neither_promised_nor_asked_for(
    backend: Podman, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    backend.__dict__["_engine"] = engine(*ALL)
    host = asked(backend, make_job("", cpus=(1,)), tmp_path)
    assert LIMITS - backend.enforces == {"cpu limit", "processes"}
    assert not {"Memory", "MemorySwap", "PidsLimit", "NanoCpus", "CpusetCpus"} & set(host)
    assert ulimits(host)["nproc"] == 64 and ulimits(host)["data"] > 2048 * MIB


def test_a_gpu_is_handed_over_by_its_cdi_name(
    backend: Podman, make_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,MIG-7")
    backend.__dict__["_engine"] = engine(*ALL)
    host = asked(backend, make_job("", device="cuda:1"), tmp_path)
    assert [(r["Driver"], r["DeviceIDs"]) for r in host["DeviceRequests"]] == [("cdi", ["nvidia.com/gpu=MIG-7"])]
    assert "data" not in ulimits(host), "a CUDA context maps the GPU's memory"


def test_a_gpu_without_a_description_is_missing_with_its_remedy(
    backend: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podman, "CDI", (tmp_path,))
    assert "; make one: sudo nvidia-ctk cdi generate" in (backend.unavailable(MODEL, "cuda:0") or "")
    (tmp_path / "nvidia.yaml").write_text("kind: nvidia.com/gpu\n")
    assert "socket does not answer" in (backend.unavailable(MODEL, "cuda:0") or "")


def test_what_podman_says_of_itself_is_read(backend: Podman) -> None:
    host = {"cgroupControllers": ["memory", "pids"], "cgroupManager": "systemd", "cgroupVersion": "v2"}
    host |= {"ociRuntime": {"version": "crun version 1.8\nrest"}, "security": {"rootless": True}}
    read = PodmanEngine.read({"host": host, "version": {"Version": "5.4"}})
    assert (read.rootless, read.missing) == (True, {"cpu", "cpuset"})
    assert read.configuration["runtime"] == "crun version 1.8" and read.configuration["controllers"] == "memory pids"


def test_the_socket_is_that_of_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr(podman.os, "geteuid", lambda: 1000)
    assert podman.address() == "unix:///run/user/7/podman/podman.sock"
    monkeypatch.setattr(podman.os, "geteuid", lambda: 0)
    assert podman.address() == "unix:///run/podman/podman.sock"
    monkeypatch.setenv("CONTAINER_HOST", "unix:///elsewhere")
    assert podman.address() == "unix:///elsewhere"


class Attached:
    """Streams on which the runner has said something."""

    def receive(self, timeout: float) -> list[Any]:
        return [("channel", b"R")]


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process in a process namespace of its own, which nothing confines otherwise."""
    process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"], start_new_session=True)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text().split():
            assert process.poll() is None
        yield int(children.read_text().split()[0])
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN MAKE A PROCESS NAMESPACE HERE: not tested")
def test_what_a_rootless_engine_does_not_set_is_set_from_outside_and_the_rest_refused(
    make_job: Callable[..., Job], sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = SimpleNamespace(attrs={"State": {"Pid": sleeper}}, id="c", reload=lambda: None)
    core = max(os.sched_getaffinity(0))
    host = {"Tmpfs": {}, "Ulimits": [{"Name": "nofile", "Soft": 99, "Hard": 99}]}
    arguments: Any = (container, Attached(), make_job("", cpus=(core,)), host, engine(*ALL))
    running = podman._Running(*arguments)
    with pytest.raises(NotEnforced, match="Seccomp is"):
        running.receive(0)
    assert resource.prlimit(sleeper, resource.RLIMIT_NOFILE) == (99, 99)
    assert os.sched_getaffinity(sleeper) == {core}
    monkeypatch.setattr(podman, "differences", lambda *_: iter(()))
    assert running.receive(0) == [("channel", b"R")]


def test_memory_is_watched_where_no_controller_limits_it(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    container = SimpleNamespace(attrs={"State": {"Pid": os.getpid()}}, id="c", reload=lambda: None)
    monkeypatch.setattr(podman.procfs, "memory", lambda members, limit: 2 * limit)
    arguments: Any = (container, Attached(), make_job(""), {})
    assert podman._Running(*arguments, engine("memory")).over_memory()
    assert not podman._Running(*arguments, engine()).over_memory()
