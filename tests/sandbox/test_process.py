"""What is out of an entry's reach where units are processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from unlearn_bench.sandbox import child, family, procfs
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.family import Family, own_user
from unlearn_bench.sandbox.types import Job, Outcome

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN GIVE UNITS A USER OF THEIR OWN: not tested")

TRY = """
import json, os, signal, subprocess, sys

def attempt(function):
    try:
        return f"POSSIBLE: {function()}"
    except Exception as error:
        return type(error).__name__

"""


def tried(outcome: Outcome) -> dict[str, Any]:
    """What the entry reported."""
    assert outcome.status == "ok", outcome
    report: dict[str, Any] = json.loads(outcome.log.strip().splitlines()[-1])
    return report


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file of its owner's alone, in a folder that everybody may pass."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.write(b"the test set")
        file.flush()
        yield Path(file.name)


@pytest.fixture
def store() -> Iterator[Path]:
    """A folder of its owner's alone, with a file in it that says nothing about that."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        (Path(folder) / "logits").write_text("retrained")
        yield Path(folder)


@pytest.mark.slow
@as_root
def test_as_root_an_entry_has_neither_roots_files_nor_its_privileges(
    make_job: Callable[..., Job], secret: Path, store: Path
) -> None:
    source = f"""{TRY}
def unlearn(model, retain):
    status = dict(line.split()[:2] for line in open("/proc/self/status") if len(line.split()) > 1)
    print(json.dumps({{
        "secret": attempt(lambda: open({str(secret)!r}).read()),
        "store": attempt(lambda: open({str(store / "logits")!r}).read()),
        "kill": attempt(lambda: os.kill({os.getpid()}, 0)),
        "environment": attempt(lambda: open("/proc/{os.getpid()}/environ").read()),
        "root again": attempt(lambda: os.setuid(0)),
        "stage": attempt(lambda: open(os.environ["PYTHONPATH"] + "/x", "w")),
        "entry": attempt(lambda: open(__file__, "a")),
        "ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
        "new privileges": status["NoNewPrivs:"], "effective": status["CapEff:"], "permitted": status["CapPrm:"],
        "scratch": attempt(lambda: open(os.environ["HOME"] + "/x", "w").write("x")),
    }}))
"""
    report = tried(load("process").run(make_job(source), nullcontext()))
    refused = {name for name, said in report.items() if said == "PermissionError"}
    assert refused == {"secret", "store", "kill", "environment", "root again", "stage", "entry"}, report
    assert len(report["ids"]) == 6 and set(report["ids"]) <= set(map(str, family.USERS)) | set(family.USERS)
    assert (report["new privileges"], int(report["effective"], 16), int(report["permitted"], 16)) == ("1", 0, 0)
    assert report["scratch"] == "POSSIBLE: 1"


DAEMON = """
import os, time

def unlearn(model, retain):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.write(writer, str(os.getpid()).encode())
        for fd in range(3):
            os.close(fd)
        while True:
            time.sleep(1)
    os.wait()
    print("daemon", os.read(reader, 20).decode(), "of", os.getuid(), flush=True)
"""


@pytest.mark.slow
@as_root
def test_as_root_a_daemon_that_left_the_session_is_dead_afterwards(make_job: Callable[..., Job]) -> None:
    outcome = load("process").run(make_job(DAEMON), nullcontext())
    assert outcome.status == "ok", outcome
    _, pid, _, user = outcome.log.split()
    assert not alive(int(pid))
    assert not any(member.alive for member in procfs.owned(int(user)))


@pytest.mark.slow
@as_root
def test_as_root_a_chain_of_forks_cannot_run_away(make_job: Callable[..., Job]) -> None:
    source = """
import os

def unlearn(model, retain):
    print("user", os.getuid(), flush=True)
    if os.fork() == 0:
        os.setsid()
        while True:  # every process lives for a moment only
            if os.fork():
                os._exit(0)
    os._exit(3)
"""
    outcome = load("process").run(make_job(source), nullcontext())
    assert outcome.status == "crash" and "exit code 3" in outcome.reason
    user = int(outcome.log.split()[1])
    time.sleep(0.2)
    assert not any(member.alive for member in procfs.owned(user))


@pytest.mark.slow
@as_root
def test_as_root_a_unit_has_only_so_many_processes(make_job: Callable[..., Job]) -> None:
    source = """
import os, time

def unlearn(model, retain):
    count = 0
    try:
        while count < 1000:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            count += 1
    except BlockingIOError:
        print("forks", count)
"""
    outcome = load("process").run(make_job(source), nullcontext())
    assert outcome.status == "ok", outcome
    assert 1 <= int(outcome.log.split()[1]) < 64


@as_root
def test_what_units_of_a_killed_harness_started_is_reaped_and_the_living_are_left_alone() -> None:
    program = """
import time
from unlearn_bench.sandbox.family import own_user

with own_user() as user:
    print(user, flush=True)
    time.sleep(60)
"""
    with own_user() as mine, subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as harness:
        assert mine is not None and harness.stdout is not None
        other = int(harness.stdout.readline())
        sleepers = [subprocess.Popen(["/bin/sleep", "60"], user=user) for user in (mine, other)]
        family.reap()
        assert [sleeper.poll() for sleeper in sleepers] == [None, None], "both harnesses live"
        harness.kill()
        harness.wait()
        assert family.reap() >= 1
        assert [sleeper.wait(5) if s else sleeper.poll() for s, sleeper in enumerate(sleepers)] == [
            None,
            -signal.SIGKILL,
        ]
    assert sleepers[0].wait(5) == -signal.SIGKILL, "the user id was given back"


@as_root
def test_a_python_out_of_reach_is_said_with_its_remedy_and_nothing_runs_as_root(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "python"
    copy.write_bytes(Path(sys.executable).resolve().read_bytes())
    copy.chmod(0o700)
    monkeypatch.setattr(child, "interpreter", lambda: str(copy))
    child.unreachable.cache_clear()
    try:
        reason = load("process").unavailable({"name": "resnet18_narrow"}, "cpu")
        outcome = load("process").run(make_job("def unlearn(m, r): pass"), nullcontext())
    finally:
        child.unreachable.cache_clear()
    assert reason is not None and "as root units run as user" in reason and "; put the Python" in reason
    assert (outcome.status, outcome.reason) == ("infra", reason)


def alive(pid: int) -> bool:
    found = procfs.process(pid)
    return found is not None and found.alive


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_a_unit_ends_with_its_harness_however_early_that_was_killed(seconds: float) -> None:
    program = f"""
import os, signal, subprocess, time
from unlearn_bench.sandbox import child

with child.own_user() as user:
    command = child._launched(["/bin/sleep", "60"], user, (), {{}}, ())
    unit = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(unit.pid, flush=True)
    time.sleep({seconds})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    harness = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert harness.returncode == -signal.SIGKILL, harness.stderr
    until = time.monotonic() + 20
    while alive(int(harness.stdout)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(int(harness.stdout))


def test_every_process_of_a_session_ends() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"], start_new_session=True) as first:
        until = time.monotonic() + 20
        session = Family(None)
        while len(session.members(first.pid)) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        members = [member.pid for member in session.members(first.pid)]
        assert len(members) == 2
        session.kill(first.pid)
        assert not any(map(alive, members))


def test_a_unit_has_a_login_name(make_job: Callable[..., Job]) -> None:
    """Its user has none, and some versions of torch ask for one as they are imported."""
    source = "import getpass\ndef unlearn(*given):\n    raise RuntimeError('login ' + getpass.getuser())\n"
    outcome = load("process").run(make_job(source), nullcontext())
    assert outcome.status == "crash" and "login entry" in outcome.reason


def test_an_entry_of_several_files_imports_them(make_job: Callable[..., Job]) -> None:
    modules = {"deep/__init__.py": b"", "deep/names.py": b"WORD = 'found'"}
    job = make_job("from .deep.names import WORD\n\ndef unlearn(model, retain):\n    print(WORD)\n", modules=modules)
    outcome = load("process").run(job, nullcontext())
    assert (outcome.status, outcome.log.strip()) == ("ok", "found"), outcome


def test_what_an_entry_requires_and_is_not_here_is_named(make_job: Callable[..., Job]) -> None:
    job = make_job("def unlearn(model, retain): ...", requirements=("torch>=2", "no-such-package>=1"))
    outcome = load("process").run(job, nullcontext())
    assert outcome.status == "infra"
    assert "requires no-such-package>=1" in outcome.reason


SPAWNED = """
import torch
from torch.utils.data import DataLoader

def images_only(samples):
    return torch.stack([image for image, _ in samples])

def unlearn(model, retain, forget, val):
    batches = DataLoader(
        retain.dataset, batch_size=8, num_workers=1, multiprocessing_context="spawn", collate_fn=images_only
    )
    assert sum(len(images) for images in batches) == len(retain.dataset)
"""


@pytest.mark.slow
def test_workers_that_are_spawned_find_the_entry(make_job: Callable[..., Job]) -> None:
    outcome = load("process").run(make_job(SPAWNED), nullcontext())
    assert outcome.status == "ok", outcome
