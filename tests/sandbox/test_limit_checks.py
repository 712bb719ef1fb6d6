"""The doctor's checks of limits: they pass on a real engine, and see every limit that is not there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from unlearn_bench.sandbox.engine import settings
from unlearn_bench.sandbox.engine.facts import Facts, facts
from unlearn_bench.sandbox.limit_checks import checks
from unlearn_bench.sandbox.types import LIMITS, Limit, Sandbox

GOOD: dict[Limit, dict[str, Any]] = {
    "user": {"uid": 65534, "effective": "0", "bounding": "0", "no_new_privileges": "1", "seccomp": "2"},
    "read-only": {"mount": "ro", "write": "Read-only", "stage": "Read-only", "proc": "Read-only"},
    "network": {"interfaces": ["lo"], "connect": "Network is unreachable"},
    "noexec": {"tmp": "Permission denied", "shm": "Permission denied"},
    "ulimits": {"hard": [4096, 0, checks.SCRATCH, 65536], "opened": 4000, "large": "File too large", "mlock": -1},
    "scratch": {"bytes": checks.SCRATCH, "inodes": 16000},
    "shm": {"bytes": checks.SCRATCH},
    "cpu limit": {"affinity": [1], "used": 0.99},
    "processes": {"forked": 46},
}


@pytest.mark.parametrize(
    "line, key, value",
    [
        ("user", "uid", 0),
        ("user", "bounding", "a80425fb"),
        ("user", "no_new_privileges", "0"),
        ("user", "seccomp", "0"),
        ("read-only", "write", ""),
        ("read-only", "proc", ""),
        ("read-only", "mount", "rw"),
        ("network", "interfaces", ["lo", "eth0"]),
        ("network", "connect", ""),
        ("noexec", "shm", ""),
        ("ulimits", "hard", [1048576, 0, checks.SCRATCH, 65536]),
        ("ulimits", "opened", 100_000),
        ("ulimits", "large", ""),
        ("ulimits", "mlock", 0),
        ("scratch", "bytes", 10 * checks.SCRATCH),
        ("scratch", "inodes", 100_000),
        ("shm", "bytes", 10 * checks.SCRATCH),
        ("cpu limit", "affinity", [0, 1]),
        ("cpu limit", "used", 1.9),
        ("processes", "forked", 5000),
    ],
)
def test_one_limit_that_does_not_hold_is_one_failing_line(line: Limit, key: str, value: object) -> None:
    assert [check.name for check in checks.judge(GOOD, 1, "advice") if check.remedy] == []
    report = copy.deepcopy(GOOD)
    report[line][key] = value
    failing = [check for check in checks.judge(report, 1, "advice") if check.remedy]
    assert len(failing) == 1 and failing[0].text


def test_a_limit_that_nobody_reports_does_not_hold() -> None:
    report: dict[Limit, dict[str, Any]] = {**GOOD, "shm": {}}
    assert [check.name for check in checks.judge(report, 1, "advice") if check.remedy] == ["shm"]


@pytest.mark.docker
@pytest.mark.slow
def test_every_limit_holds_on_this_engine(docker_sandbox: Sandbox) -> None:
    tried = list(checks.check(docker_sandbox))
    assert {check.name for check in tried} == LIMITS
    assert [check for check in tried if check.remedy] == []


@pytest.mark.docker
@pytest.mark.slow
def test_an_engine_that_ignores_its_limits_is_found_out(
    docker_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loose(*arguments: Any) -> dict[str, Any]:
        kept = {name: confined(*arguments)[name] for name in ("init", "mounts", "network_mode")}
        return {**kept, "mem_limit": "3g", "shm_size": 2**28}

    confined = settings._confined
    monkeypatch.setattr(settings, "_confined", loose)
    failing = {check.name for check in checks.check(docker_sandbox) if check.remedy}
    assert {"user", "read-only", "ulimits", "scratch", "shm", "cpu limit", "processes", "memory limit"} <= failing


def test_an_engine_that_cannot_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    info = {"ServerVersion": "27", "Driver": "overlay2", "MemoryLimit": False, "PidsLimit": True}
    assert Facts(info, ()).lacking == ["memory"]
    assert not Facts(info, ()).passes_gpus()
    assert Facts({**info, "Runtimes": {"nvidia": {}}}, ()).passes_gpus()
    assert Facts({**info, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, ()).passes_gpus()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert facts() is None


@pytest.mark.docker
def test_the_engine_says_what_it_is(docker_sandbox: Sandbox) -> None:
    found = facts()
    assert found is not None
    assert found.info["ServerVersion"] in found.line and "cgroup v" in found.line and "storage" in found.line
    assert any(tags.startswith("unlearn-bench:") and digest.startswith("sha256:") for tags, digest, _ in found.images)
