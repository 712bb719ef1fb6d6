"""A container's settings read back: each one that an engine may change is seen, and named with its remedy."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from unlearn_bench.sandbox.backends import docker as backend
from unlearn_bench.sandbox.engine import images, readback
from unlearn_bench.sandbox.engine.settings import settings
from unlearn_bench.sandbox.types import MIB, Job, Limits, Sandbox

JOB = Job(b"", {}, {}, b"", Path(), (), (), 1, 0, Limits(deadline=1), device="cuda:1", cpus=(0, 1), run_id="r")
INFO = {"DefaultRuntime": "runc"}
ASKED = settings(JOB, "sha256:0", Path("/stage"), {"unlearn-bench.run": "r"}, INFO, None)
INSPECTED: dict[str, Any] = {
    "Image": "sha256:0",
    "HostConfig": {
        **ASKED["host_config"],
        "Runtime": "runc",
        "Binds": None,
        "Privileged": False,
        "PidMode": "",
        "PortBindings": {},
        "MaskedPaths": ["/proc/kcore"],
    },
    "Config": {
        "User": "65534:65534",
        "Hostname": "sandbox",
        "WorkingDir": "/tmp",
        "OpenStdin": True,
        "Tty": False,
        "NetworkDisabled": True,
        "Cmd": ASKED["command"],
        "Entrypoint": None,
        "Env": ["PATH=/bin", *(f"{name}={value}" for name, value in ASKED["environment"].items())],
        "Labels": {"of-the-image": "1", "unlearn-bench.run": "r"},
    },
    "Mounts": [{"Type": "bind", "Source": "/stage", "Destination": "/in", "RW": False, "Propagation": "rprivate"}],
    "NetworkSettings": {"Networks": {"none": {}}},
}  # fmt: skip


def altered(*place: str | int, to: Any) -> Mapping[str, Any]:
    attrs = copy.deepcopy(INSPECTED)
    inner = attrs
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = to
    return attrs


def test_what_was_asked_for_is_no_difference() -> None:
    readback.check(ASKED, None, INSPECTED, INFO)
    readback.check(ASKED, ["IPv4 forwarding is disabled. Networking will not work."], INSPECTED, INFO)


@pytest.mark.parametrize(
    "name, value",
    [
        ("Memory", 0),
        ("Memory", None),
        ("MemorySwap", -1),
        ("MemorySwap", 2 * JOB.limits.memory),
        ("PidsLimit", None),
        ("PidsLimit", 512),
        ("NanoCpus", 0),
        ("CpusetCpus", ""),
        ("CpusetCpus", "0"),
        ("CapDrop", None),
        ("CapAdd", ["SYS_ADMIN"]),
        ("SecurityOpt", None),
        ("SecurityOpt", ["no-new-privileges=true"]),
        ("SecurityOpt", ["no-new-privileges=true", "seccomp=unconfined"]),
        ("SecurityOpt", [ASKED["host_config"]["SecurityOpt"][1]]),
        ("SecurityOpt", [*ASKED["host_config"]["SecurityOpt"], "apparmor=unconfined"]),
        ("NetworkMode", "bridge"),
        ("ReadonlyRootfs", False),
        ("IpcMode", "shareable"),
        ("IpcMode", "host"),
        ("CgroupnsMode", "host"),
        ("CgroupnsMode", ""),
        ("Tmpfs", {"/tmp": "rw"}),
        ("Tmpfs", {**ASKED["host_config"]["Tmpfs"], "/var": ""}),
        ("ShmSize", 64 * MIB),
        ("Ulimits", []),
        ("Ulimits", [{**limit, "Hard": limit["Hard"] + 1} for limit in ASKED["host_config"]["Ulimits"]]),
        ("Ulimits", ASKED["host_config"]["Ulimits"][1:]),
        ("Runtime", "runsc"),
        ("DeviceRequests", None),
        ("DeviceRequests", [{**ASKED["host_config"]["DeviceRequests"][0], "DeviceIDs": ["0", "1"]}]),
        ("DeviceRequests", [{**ASKED["host_config"]["DeviceRequests"][0], "Count": -1}]),
        ("LogConfig", {"Type": "json-file", "Config": {}}),
        ("Init", None),
        ("Privileged", True),
        ("PidMode", "host"),
        ("UTSMode", "host"),
        ("UsernsMode", "host"),
        ("Binds", ["/:/host"]),
        ("Devices", [{"PathOnHost": "/dev/kvm"}]),
        ("GroupAdd", ["0"]),
        ("OomKillDisable", True),
        ("AutoRemove", True),
    ],
)
def test_each_setting_of_the_host_is_compared(name: str, value: Any) -> None:
    (found,) = readback.mismatches(ASKED, altered("HostConfig", name, to=value), INFO)
    assert found.name == name
    with pytest.raises(readback.NotEnforced, match=rf"{name} is .+; \S+ .+"):
        readback.check(ASKED, [], altered("HostConfig", name, to=value), INFO)


@pytest.mark.parametrize(
    "name, place, value",
    [
        ("Image", ("Image",), "sha256:1"),
        ("Mounts", ("Mounts", 0, "RW"), True),
        ("Mounts", ("Mounts", 0, "Propagation"), "rshared"),
        ("Mounts", ("Mounts", 0, "Destination"), "/out"),
        ("Mounts", ("Mounts",), []),
        ("Mounts", ("Mounts",), [*INSPECTED["Mounts"], {"Type": "volume", "Destination": "/data", "RW": True}]),
        ("User", ("Config", "User"), ""),
        ("User", ("Config", "User"), "0:0"),
        ("NetworkDisabled", ("Config", "NetworkDisabled"), False),
        ("Tty", ("Config", "Tty"), True),
        ("Cmd", ("Config", "Cmd"), ["sh"]),
        ("Entrypoint", ("Config", "Entrypoint"), ["sh"]),
        ("Env", ("Config", "Env"), ["PATH=/bin"]),
        ("Labels", ("Config", "Labels"), None),
        ("Networks", ("NetworkSettings", "Networks"), {"bridge": {}}),
    ],
)
def test_each_setting_of_the_container_is_compared(name: str, place: tuple[str | int, ...], value: Any) -> None:
    assert [one.name for one in readback.mismatches(ASKED, altered(*place, to=value), INFO)] == [name]


def test_another_runtime_is_compared_too() -> None:
    asked = settings(JOB, "sha256:0", Path("/stage"), {"unlearn-bench.run": "r"}, INFO, "runsc")
    assert [one.name for one in readback.mismatches(asked, INSPECTED, INFO)] == ["Runtime"]
    assert readback.mismatches(asked, altered("HostConfig", "Runtime", to="runsc"), INFO) == []


def test_the_message_says_what_whose_and_the_remedy() -> None:
    attrs = altered("HostConfig", "MemorySwap", to=-1)
    warning = "Your kernel does not support swap limit capabilities."
    with pytest.raises(readback.NotEnforced) as caught:
        readback.check(ASKED, [warning], attrs, INFO)
    said = str(caught.value)
    assert f"MemorySwap is -1, not {JOB.limits.memory}" in said and warning in said and "swapaccount=1" in said
    assert said.startswith("the engine") and "\n" not in said


def test_a_warning_alone_is_enough() -> None:
    with pytest.raises(readback.NotEnforced, match=r"Limitation discarded\.; look at"):
        readback.check(ASKED, ["Your kernel does not support pids limit. Limitation discarded."], INSPECTED, INFO)


@pytest.fixture
def client(docker_sandbox: Sandbox) -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=60)
    yield client
    client.close()


def created(client: docker.DockerClient, job: Job, stage: Path, info: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    image = images.find(client, (), "cpu")
    assert image is not None
    asked = settings(job, image.id, stage, {"unlearn-bench.test": "created"}, info, None)
    answer = client.api.create_container(**asked)
    try:
        return asked, answer["Warnings"], client.api.inspect_container(answer["Id"])
    finally:
        client.api.remove_container(answer["Id"], force=True)


@pytest.mark.docker
@pytest.mark.parametrize("device", ["cpu", "cuda:0", "cuda:3"])
@pytest.mark.parametrize("cdi", [False, True])
@pytest.mark.parametrize("cpus", [(), (0,)])
def test_a_real_engine_keeps_what_it_was_asked_for(
    client: docker.DockerClient, tmp_path: Path, device: str, cdi: bool, cpus: tuple[int, ...]
) -> None:
    """Created, not started: this needs no GPU."""
    info = client.info()
    if cdi:
        info["DiscoveredDevices"] = [{"Source": "cdi", "ID": f"nvidia.com/gpu={index}"} for index in range(4)]
    job = replace(JOB, device=device, cpus=cpus)
    asked, warnings, attrs = created(client, job, tmp_path, info)
    readback.check(asked, warnings, attrs, info)
    host = attrs["HostConfig"]
    assert (host["CpusetCpus"], host["NanoCpus"]) == (("0", 10**9) if cpus else ("", 0))
    index = device.partition(":")[2]
    ids = [request["DeviceIDs"] for request in host["DeviceRequests"] or ()]
    assert ids == ([] if device == "cpu" else [[f"nvidia.com/gpu={index}" if cdi else index]])
    assert json.loads(host["SecurityOpt"][1].removeprefix("seccomp="))["defaultAction"] == "SCMP_ACT_ERRNO"


@pytest.mark.docker
@pytest.mark.parametrize(
    "change, named",
    [
        ({"Memory": 3 * 2**30, "MemorySwap": 3 * 2**30}, ["Memory", "MemorySwap"]),
        ({"SecurityOpt": ["no-new-privileges=true"]}, ["SecurityOpt"]),
        ({"CapAdd": ["CHOWN"]}, ["CapAdd"]),
        ({"NetworkMode": "bridge"}, ["NetworkMode"]),
    ],
)
def test_a_container_made_in_another_way_never_gets_the_go_signal(
    docker_sandbox: Sandbox,
    make_job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    named: list[str],
) -> None:
    """The engine gets other settings than those that are compared: as if it had changed them."""
    create = docker.APIClient.create_container

    def other(self: docker.APIClient, **asked: Any) -> Any:
        return create(self, **{**asked, "host_config": {**asked["host_config"], **change}})

    monkeypatch.setattr(docker.APIClient, "create_container", other)
    started: list[bool] = []

    class Clock:
        def __enter__(self) -> None:
            started.append(True)

        def __exit__(self, *_: object) -> None: ...

    outcome = docker_sandbox.run(make_job("def unlearn(model, retain): pass"), Clock())  # type: ignore[arg-type]
    assert outcome.status == "infra" and not started
    assert all(f"{name} is " in outcome.reason for name in named), outcome.reason
    assert backend.NotEnforced is readback.NotEnforced


@pytest.mark.docker
def test_a_unit_passes_the_comparison(docker_sandbox: Sandbox, make_job: Callable[..., Job]) -> None:
    assert docker_sandbox.run(make_job("def unlearn(model, retain): pass", cpus=(0,)), nullcontext()).status == "ok"
