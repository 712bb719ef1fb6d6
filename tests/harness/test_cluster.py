"""The executor ``ray`` on a real cluster of two nodes on this machine, one of which is killed while it works."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from tests.harness.conftest import SMALL, run
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.executors.ray import head, node
from unlearn_bench.harness.executors.ray.cluster import Cluster
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.support.errors import BenchError

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray", reason="THE EXECUTOR ray IS NOT TESTED: install Ray")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head that runs units and, for the test to kill, whatever it adds."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("BENCH_LOCKS", str(tmp_path_factory.mktemp("locks")))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield made
        made.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """Another node."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


OFTEN = """
from unlearn_bench.harness.commands import _progress as progress
from unlearn_bench.harness.cli import main
from unlearn_bench.harness.executors.ray import counter

progress.EVERY = counter.EVERY = 0.05
main()
"""
"""The command, which says at every look how much is done."""

SOON = """
from unlearn_bench.harness.cli import main
from unlearn_bench.harness.executors.ray import head

head.EVERY, head.LOST = 0.5, {lost}
main()
"""
"""The command, which waits so many seconds for a head that does not answer."""


def start(*arguments: str, program: str = "") -> subprocess.Popen[str]:
    """Start a command; ``program`` is a file that is one, or Python that runs one."""
    command = [*([program] if program.startswith("/") else [sys.executable, "-c", program]), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_while_it_works(node: Any, process: subprocess.Popen[str], function: str) -> None:
    """SIGKILL for a node and its workers, once one of these runs ``function``."""
    raylet = node.all_processes["raylet"][0].process.pid
    workers: dict[int, str] = {}
    while not any(title.startswith(f"ray::{function}") for title in workers.values()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
        workers = children(raylet)
    for pid in (raylet, *workers):
        os.kill(pid, signal.SIGKILL)


def children(parent: int) -> dict[int, str]:
    """Titles of processes by their pid."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found[int(place.name)] = (place / "cmdline").read_text()
        except OSError:
            continue
    return found


def models(home: Path) -> dict[str, Any]:
    """Digests of the finished models."""
    found = [json.loads(path.read_text())["roles"] for path in (home / "references").glob("*.json")]
    return {name: (role["weights"], role["logits"]) for roles in found for name, role in roles.items()}


def test_a_node_killed_in_mid_training_costs_no_model_and_changes_none(
    cluster: Any, second: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = tmp_path / "long.toml"
    track.write_text(SMALL.replace("epochs = 5", "epochs = 12"))
    arguments = ("prepare", str(track), "--workers", "2", "--executor", "ray", "--address", cluster.address)
    process = start(*arguments, program=OFTEN)
    kill_while_it_works(second, process, "train")
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "was lost with its node or worker and runs again" in errors
    assert "6 of 6 reference models, every file verified" in out
    assert errors.count("trained ") == 6, "each model once"
    counts = [int(count) for count in re.findall(r"training long: (\d+) of 72 epochs", errors)]
    assert counts == sorted(set(counts)) and counts[-1] <= 72
    assert any(count % 12 for count in counts), "it is told in the midst of a model"
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "alone"))
    assert "6 of 6" in run("prepare", str(track), "--workers", "2").stdout
    assert models(home) == models(tmp_path / "alone")


def test_files_that_splits_read_travel_with_the_data_set(
    cluster: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))  # of the command, not of the nodes
    content = io.BytesIO()
    np.save(content, np.concatenate([np.arange(600) // 3, np.arange(600, 1797)]))
    (tmp_path / "mine.npy").write_bytes(content.getvalue())
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    track = tmp_path / "grouped.toml"
    lines = f'rule = "per-seed"\ngroups = "mine.npy"\ngroups_sha256 = "{sha256}"'
    track.write_text(SMALL.replace('rule = "per-seed"', lines))
    result = run("prepare", str(track), "--executor", "ray", "--address", cluster.address)
    assert result.exit_code == 0, result.output
    assert len(models(home)) == 6


def test_a_node_killed_in_mid_search_costs_no_trial(
    cluster: Any, second: Any, prepared: References, small: Path, program: str
) -> None:
    small.write_text(small.read_text().replace("deadline_floor = 6\n", "deadline_floor = 120\n"))  # a busy machine
    arguments = ("tune", "ft", "--track", str(small), "--trials", "3", "--json")
    process = start(*arguments, "--executor", "ray", "--address", cluster.address, program=program)
    kill_while_it_works(second, process, "direct")
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "on 2 nodes" in errors and "runs again" in errors
    (summary,) = json.loads(out)
    assert summary["trials"] == 3 and summary["failed_trials"] == 0
    alone = json.loads(run(*arguments).stdout)[0]
    assert alone["trials"] == 3 and alone["loss"] == summary["loss"], "the search is over: nothing runs again"


def test_it_is_said_that_all_nodes_are_gone_and_that_one_came(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(head, "EVERY", 0.0)
    caplog.set_level("INFO", "unlearn_bench")
    there = Cluster(RunOptions(address=cluster.address))
    try:
        for kind, words in (("CPU", ""), ("GPU", "no node"), ("GPU", ""), ("CPU", "a node"), ("CPU", "")):
            caplog.clear()
            there._watch(kind)
            assert words in (said := caplog.text) and bool(words) == bool(said)
    finally:
        there.close()


def in_use(address: str) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, _, port = address.partition(":")
        try:
            one.bind((host, int(port)))
        except OSError:
            return True
        return False


@contextmanager
def started_head(port: int = 0, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a head that ``ray start`` has started."""
    with socket.create_server(("127.0.0.1", port)) as server:
        port = server.getsockname()[1]
    environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder:  # a short path: Ray keeps sockets in it
        options = f"--head --block --port {port} --node-ip-address 127.0.0.1 --num-cpus 2 --temp-dir {folder}"
        ray_command = str(Path(sys.executable).with_name("ray"))
        head = subprocess.Popen([ray_command, "start", *options.split(), "--include-dashboard=false"], env=environment)
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert head.poll() is None
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", head
        head.terminate()
        head.wait()


@pytest.mark.parametrize("anew", [False, True])
def test_a_lost_head_ends_the_command_and_loses_nothing(anew: bool, home: Path, tmp_path: Path) -> None:
    track = tmp_path / "long.toml"
    track.write_text(SMALL.replace("epochs = 5", "epochs = 15"))
    environment = {"RAY_AUTH_MODE": "disabled", "BENCH_LOCKS": str(tmp_path / "locks")}
    with started_head(**environment) as (address, head):
        program = SOON.format(lost=30 if anew else 2)
        process = start("prepare", str(track), "--executor", "ray", "--address", address, program=program)
        parts: dict[int, str] = {}
        while not any(title.startswith("ray::train") for title in parts.values()) or not models(home):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
            parts = children(head.pid)
            parts |= {pid: title for part in parts for pid, title in children(part).items()}
        for pid in (*parts, head.pid):
            os.kill(pid, signal.SIGKILL)
        while in_use(address):
            time.sleep(0.05)
        with started_head(int(address.split(":")[1]), **environment) if anew else nullcontext():
            _, errors = process.communicate(timeout=50)  # Ray's own end comes after a minute, or never
    assert process.returncode == 20, errors
    what = "was started anew" if anew else "has not answered for 2 s"
    assert f"error:  the head of the Ray cluster at {address} {what}" in errors
    assert "run the same command again" in errors and "Traceback" not in errors
    kept = models(home)
    assert kept
    result = run("prepare", str(track))
    assert f"{6 - len(kept)} reference models to train" in result.stderr and "6 of 6" in result.stdout
    assert models(home).items() >= kept.items()


def test_submit_gives_the_same_row_as_on_one_machine(
    cluster: Any, prepared: References, small: Path, tmp_path: Path, program: str
) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(FINE_TUNE)
    command = ("submit", str(entry), "--track", str(small), "--sandbox", "process", "--json")
    there = start(*command, "--executor", "ray", "--address", cluster.address, program=program)
    out, errors = there.communicate()
    assert there.returncode == 0, errors
    assert "timed units on" in errors
    subprocess.run(["rm", "-r", str(prepared.store.root / "units")], check=True)
    here = run(*command)
    assert here.exit_code == 0, here.output
    rows = [json.loads(text)["row"] for text in (out, here.stdout)]
    of_the_machine = ("rte", "seconds", "speed", "peak_mib")
    rows = [{k: v for k, v in row.items() if not any(part in k for part in of_the_machine)} for row in rows]
    assert rows[0] == rows[1] and len(rows[0]) > 10


@pytest.mark.timeout(100)  # Ray itself tries for minutes
@pytest.mark.parametrize("answer", ["nothing", "another server", "no address"])
def test_a_wrong_address_is_said_soon(small: Path, answer: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "x" if answer == "no address" else f"127.0.0.1:{server.getsockname()[1]}"
        if answer == "nothing":
            server.close()
        result = run("prepare", str(small), "--executor", "ray", "--address", address)
    assert result.exit_code == (2 if answer == "no address" else 20), result.output
    assert "whose:  your command" in result.stderr
    assert ("HOST:6379" if answer == "no address" else f"no Ray cluster at {address}") in result.stderr


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a head that asks for a token."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    with started_head(RAY_AUTH_MODE="token") as (address, _):
        yield address


def test_a_cluster_that_asks_for_a_token_gets_it(
    asking: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    command = ("prepare", str(small), "--executor", "ray", "--address", asking)
    for mode in ("disabled", "token"):
        with monkeypatch.context() as patch:  # no token here
            patch.setenv("HOME", str(tmp_path))
            patch.delenv("RAY_AUTH_TOKEN")
            patch.setenv("RAY_AUTH_MODE", mode)
            refused = start(*command, program=program)
        _, errors = refused.communicate()
        assert refused.returncode == 20 and "asks for its token" in errors and "RAY_AUTH_MODE=token" in errors
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    process = start(*command, program=program)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "6 of 6 reference models, every file verified" in out


def test_an_address_needs_the_executor(small: Path) -> None:
    result = run("prepare", str(small), "--address", "127.0.0.1:6379")
    assert result.exit_code == 2 and "--executor ray" in result.stderr


def test_a_node_with_another_version_is_refused_by_name() -> None:
    node.agree(node.code())
    with pytest.raises(BenchError, match=r"has unlearn-bench .* the command 0\.0") as caught:
        node.agree(replace(node.code(), version="0.0"))
    assert platform.node() in caught.value.message and "same version" in caught.value.remedy
    assert caught.value.exit_code == 20
