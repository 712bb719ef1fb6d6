"""Containers of a real engine: settings read back, nothing left, orphans removed."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.sandbox.conftest import SPEC
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.engine import reap
from unlearn_bench.sandbox.image.layer import build_layer
from unlearn_bench.sandbox.types import MIB, Job, Outcome, Sandbox

pytestmark = pytest.mark.docker

LOOK_AROUND = """
import os, resource, socket

def attempt(name, function):
    try:
        function()
        print(name, "POSSIBLE")
    except Exception as error:
        print(name, "refused:", type(error).__name__)

def unlearn(model, retain):
    print("id", os.getuid(), os.getgid(), sorted(os.environ))
    print("in", sorted(os.listdir("/in")), sorted(os.listdir("/sys/class/net")))
    attempt("write /in", lambda: open("/in/x", "w"))
    attempt("write /", lambda: open("/x", "w"))
    attempt("write entry", lambda: open("/in/entry.py", "a"))
    attempt("connect", lambda: socket.create_connection(("1.1.1.1", 53), timeout=1))
    attempt("chown", lambda: os.chown("/tmp", 0, 0))
    attempt("big file", lambda: open("/tmp/x", "wb").write(b"x" * (64 << 20)))
    print("caps", [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "NoNewPrivs"))])
    print("core", resource.getrlimit(resource.RLIMIT_CORE), "nofile", resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.fixture
def client(docker_sandbox: Sandbox) -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=60)
    yield client
    client.close()


def of_run(client: docker.DockerClient, run_id: str) -> list[Container]:
    label = f"{reap.RUN_LABEL}={run_id}"
    found: list[Container] = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    return found


SETTINGS: dict[str, Any] = {
    "NetworkMode": "none",
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "CapAdd": None,
    "Privileged": False,
    "IpcMode": "private",
    "CgroupnsMode": "private",
    "PidMode": "",
    "Init": True,
    "AutoRemove": False,
    "PidsLimit": 64,
    "Memory": 2048 * MIB,
    "MemorySwap": 2048 * MIB,
    "ShmSize": 32 * MIB,
    "NanoCpus": 10**9,
    "CpusetCpus": "0",
    "Binds": None,
    "Devices": None,
}
"""Of a unit's container, as its engine names them."""
ULIMITS = {"nofile": 4096, "core": 0, "fsize": 32 * MIB, "memlock": 65536}


def test_settings_read_back_equal_those_asked_for_and_nothing_is_left(
    client: docker.DockerClient, docker_sandbox: Sandbox, make_job: Callable[..., Job]
) -> None:
    job = make_job("import time\ndef unlearn(m, r): time.sleep(60)", deadline=2, run_id="read-back", cpus=(0,))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(docker_sandbox.run(job, nullcontext())))
    thread.start()
    until = time.monotonic() + 60
    running: list[Container] = []
    while not running and time.monotonic() < until:
        running = [container for container in of_run(client, "read-back") if container.status == "running"]
    attrs = running[0].attrs
    host, config = attrs["HostConfig"], attrs["Config"]
    thread.join()
    assert outcomes[0].status == "timeout"
    assert of_run(client, "read-back") == []

    assert {name: host[name] for name in SETTINGS} == SETTINGS
    assert "no-new-privileges=true" in host["SecurityOpt"] and not any("unconfined" in s for s in host["SecurityOpt"])
    assert host["LogConfig"]["Type"] == "none"
    assert {"rw", "noexec", "nosuid", "nodev", f"size={32 * MIB}", "nr_inodes=16384"} <= set(
        host["Tmpfs"]["/tmp"].split(",")
    )
    assert {u["Name"]: u["Hard"] for u in host["Ulimits"]} == ULIMITS
    (mount,) = attrs["Mounts"]
    assert (mount["Destination"], mount["RW"], mount["Propagation"]) == ("/in", False, "rprivate")
    assert config["User"] == "65534:65534" and config["NetworkDisabled"] is True and not config["Tty"]
    assert attrs["Image"].startswith("sha256:") and attrs["Image"] == outcomes[0].environment["image"]


def test_what_an_entry_sees_of_the_world(
    docker_sandbox: Sandbox, make_job: Callable[..., Job], monkeypatch: Any
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    outcome = docker_sandbox.run(make_job(LOOK_AROUND), nullcontext())
    assert outcome.status == "ok", outcome
    log = outcome.log
    assert "POSSIBLE" not in log
    assert log.count("refused") == 6
    assert "id 65534 65534" in log and "SECRET_TOKEN" not in log
    assert "in ['data.safetensors', 'entry.py', 'job.json', 'lib', 'weights.safetensors'] ['lo']" in log
    assert "caps ['0000000000000000', '1']" in log
    assert "core (0, 0) nofile (4096, 4096)" in log


def test_a_runtime_is_used_when_the_engine_knows_it(make_job: Callable[..., Job], docker_sandbox: Sandbox) -> None:
    known = docker.from_env(timeout=60).info()["DefaultRuntime"]
    outcome = load(f"docker:{known}").run(make_job("def unlearn(model, retain): pass"), nullcontext())
    assert outcome.status == "ok" and outcome.environment["runtime"] == known, outcome
    assert outcome.environment["backend"] == f"docker:{known}"


def test_an_unknown_runtime_is_refused_with_the_remedy(make_job: Callable[..., Job], docker_sandbox: Sandbox) -> None:
    backend = load("docker:no-such-runtime")
    reason = backend.unavailable(SPEC, "cpu")
    assert reason and "no OCI runtime 'no-such-runtime'" in reason and "daemon.json" in reason
    outcome = backend.run(make_job("def unlearn(model, retain): pass"), nullcontext())
    assert (outcome.status, outcome.reason) == ("infra", reason)


def test_cpu_seconds_are_those_that_the_kernel_counted(docker_sandbox: Sandbox, make_job: Callable[..., Job]) -> None:
    source = """
import os, time

def unlearn(model, retain):
    before = time.process_time()
    for _ in range(2):
        if os.fork() == 0:
            while time.process_time() < 1.0:
                pass
            os._exit(0)
        os.wait()
    while time.process_time() - before < 0.5:
        pass
"""
    outcome = docker_sandbox.run(make_job(source), nullcontext())
    assert outcome.status == "ok" and outcome.cpu_seconds is not None and outcome.seconds is not None
    assert 2.4 < outcome.cpu_seconds < 4.0, "two children and the unit itself"


def test_interrupted_run_leaves_nothing(
    client: docker.DockerClient, docker_sandbox: Sandbox, make_job: Callable[..., Job]
) -> None:
    class Interrupt:
        def __enter__(self) -> None:
            raise KeyboardInterrupt

        def __exit__(self, *args: object) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        docker_sandbox.run(make_job("x = 1", run_id="interrupted"), Interrupt())  # type: ignore[arg-type]
    assert of_run(client, "interrupted") == []


def test_a_flooded_channel_does_not_hang_the_engine(
    client: docker.DockerClient, docker_sandbox: Sandbox, make_job: Callable[..., Job]
) -> None:
    flood = """
import os, stat

def unlearn(model, retain):
    pipes = [fd for fd in range(3, 64) if is_pipe(fd)]
    while True:
        for fd in pipes:
            try:
                os.write(fd, b"?" * 65536)
            except OSError:
                pass

def is_pipe(fd):
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
"""
    outcome = docker_sandbox.run(make_job(flood, run_id="flood"), nullcontext())
    assert outcome.status == "invalid" and "channel" in outcome.reason
    assert of_run(client, "flood") == []


def test_orphans_are_reaped_and_the_living_left_alone(client: docker.DockerClient, docker_sandbox: Sandbox) -> None:
    mine = reap.labels("alive")
    place = mine[reap.OWNER_LABEL].rsplit(":", 2)[0]
    dead = {reap.RUN_LABEL: "dead", reap.OWNER_LABEL: f"{place}:{2**22 + 1}:1"}
    image = client.images.list("unlearn-bench")[0].id
    created = [client.containers.create(image, ["sleep", "60"], labels=labels) for labels in (mine, dead)]
    try:
        created[1].start()
        assert reap.reap(client) == [created[1].id]
        assert [container.id for container in of_run(client, "alive")] == [created[0].id]
        assert of_run(client, "dead") == []
    finally:
        created[0].remove(force=True)


def test_what_an_entry_requires_is_in_an_image_of_its_own(
    docker_sandbox: Sandbox, make_job: Callable[..., Job], client: docker.DockerClient
) -> None:
    requirements = ("einops>=0.8",)
    job = make_job("import einops\n\ndef unlearn(model, retain): ...", requirements=requirements)
    image, added = build_layer("lean", requirements)
    try:
        outcome = docker_sandbox.run(job, nullcontext())
        assert outcome.status == "ok", outcome
        assert outcome.environment["image"] == image
        assert outcome.environment["requirements"] == added
        assert re.fullmatch(r"einops==[\d.]+ sha256:[0-9a-f]{64}", added[0]) and len(added) == 1
    finally:
        client.images.remove(image, force=True)
    assert "bench image --variant lean --for" in docker_sandbox.run(job, nullcontext()).reason


def test_an_entry_without_requirements_gets_the_image_of_all(
    docker_sandbox: Sandbox, make_job: Callable[..., Job]
) -> None:
    outcome = docker_sandbox.run(make_job("import einops\n\ndef unlearn(model, retain): ..."), nullcontext())
    assert outcome.status == "crash" and "einops" in outcome.reason
