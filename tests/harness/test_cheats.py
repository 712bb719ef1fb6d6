"""Ways of faking speed or privacy: what they report, score or are marked with shows no gain."""

from __future__ import annotations

import base64
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import numpy as np
import pytest
from safetensors.numpy import load as parse

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.entries.entry import from_source, read
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_run
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox.backends import load as load_backend
from unlearn_bench.sandbox.engine.reap import RUN_LABEL
from unlearn_bench.sandbox.inside import models

pytestmark = pytest.mark.slow
DEADLINE = 120.0
IDENTITY = "def unlearn(model, retain):\n    return model\n"


def sandbox(name: str, references: References) -> UnitContext:
    backend = load_backend(name)
    if reason := backend.unavailable(references.track.model_spec, "cpu"):
        if os.environ.get("BENCH_REQUIRE_DOCKER") == "1":
            pytest.fail(f"BENCH_REQUIRE_DOCKER=1, but: {reason}")
        pytest.skip(f"CHEATS ARE NOT TESTED IN {name}: {reason}")
    return UnitContext(references, backend, run_id=f"cheats-{os.getpid()}-{time.monotonic_ns()}")


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest, prepared: References, fresh_processes: None) -> UnitContext:
    return sandbox(request.param, prepared)


@pytest.fixture(scope="module")
def honest() -> dict[str, str | None]:
    """Digests of the logits of an entry that does nothing, by back end, once it has run there."""
    return {}


def outcome(bench: UnitContext, source: str, seed: int = 0, name: str = "cheat") -> Record:
    unit = SeedUnit(from_source(name, source.encode()), bench.references.track, seed)
    record = unit_run.run(bench, unit, Slot(cores=(0,)), DEADLINE)
    assert record.status == "ok", record.reason
    return record


EARLY = """
import gc, time
from safetensors.torch import save
from sandbox import frames

def unlearn(model, retain, forget, val):
    channel = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Channel")
    channel.send(frames.WEIGHTS, save(dict(model.state_dict())))
    time.sleep(1)
    model.fc.weight.data.zero_()
    return model
"""


def test_of_weights_that_are_sent_early_and_better_ones_the_first_count(
    bench: UnitContext, honest: dict[str, str | None]
) -> None:
    assert outcome(bench, EARLY).logits == of_identity(bench, honest), "what was bought with the short time"
    zeroed = outcome(bench, EARLY.replace("channel.send(frames.WEIGHTS", "(lambda *_: None)(0"))
    assert zeroed.logits != of_identity(bench, honest) and (zeroed.seconds or 0) >= 1


def of_identity(bench: UnitContext, honest: dict[str, str | None]) -> str | None:
    """Return the digest of the logits of an entry that does nothing."""
    if bench.sandbox.name not in honest:
        honest[bench.sandbox.name] = outcome(bench, IDENTITY).logits
    return honest[bench.sandbox.name]


CLOCK = """
import tempfile
import time
from collections.abc import Iterator
sleep, real = time.sleep, time.monotonic

def unlearn(model, retain):
    until = real() + 1
    for name in ("time", "monotonic", "perf_counter", "process_time", "time_ns", "monotonic_ns", "perf_counter_ns"):
        setattr(time, name, lambda: 0)
    import sandbox.inside.runner
    sandbox.inside.runner.LoadedJob.unlearn = lambda self: b""
    while real() < until:
        sleep(0.1)
    return model
"""


def test_a_patched_clock_is_not_the_one_that_counts(bench: UnitContext) -> None:
    record = outcome(bench, CLOCK)
    assert record.seconds is not None and record.seconds >= 1


BEHIND = """
import os, threading, time

def unlearn(model, retain):
    def later():
        while True:
            model.fc.weight.data.zero_()
            time.sleep(0.01)
    if os.fork() == 0:
        os.setsid()
        while True:
            with open({beat!r}, "a") as file:
                file.write("x")
            time.sleep(0.05)
    threading.Timer(5, later).start()
    return model
"""


@pytest.fixture
def writable() -> Iterator[Path]:
    """A folder that the user of a unit may write to, whoever that is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_nothing_goes_on_after_the_weights(bench: UnitContext, writable: Path, honest: dict[str, str | None]) -> None:
    beat = writable / "beat" if bench.sandbox.name == "process" else Path("/tmp/beat")
    source = BEHIND.format(beat=str(beat))
    if bench.sandbox.name == "process":  # a session of its own leaves the reach of a crash barrier
        source = source.replace("        os.setsid()\n", "")
    record = outcome(bench, source)
    assert record.logits == of_identity(bench, honest)
    if bench.sandbox.name == "docker":
        client = docker.from_env(timeout=60)
        assert client.containers.list(all=True, filters={"label": f"{RUN_LABEL}={bench.run_id}"}) == []
        client.close()
    elif beat.exists():
        before = beat.stat().st_size
        time.sleep(0.5)
        assert beat.stat().st_size == before, "the child is dead"


CACHE = """
import os, socket, time

PLACES = ["/tmp/cache", "/dev/shm/cache", "/var/tmp/cache", os.path.expanduser("~/cache"), "/in/cache", "/cache"]

def unlearn(model, retain):
    found = [place for place in PLACES if os.path.exists(place)]
    try:
        socket.socket(socket.AF_UNIX).connect("\\0cache")
        found.append("the daemon")
    except OSError:
        pass
    print("FOUND", found)
    if found:
        model.fc.weight.data.zero_()
    kept = 0
    for place in PLACES:
        try:
            open(place, "w").write("retrained weights")
            kept += 1
        except OSError:
            pass
    print("KEPT", kept)
    if os.fork() == 0:
        os.setsid()
        server = socket.socket(socket.AF_UNIX)
        server.bind("\\0cache")
        server.listen()
        while True:
            server.accept()
    time.sleep(0.5)
    return model
"""


@pytest.mark.docker
def test_a_cache_of_one_unit_is_not_there_in_the_next(prepared: References, honest: dict[str, str | None]) -> None:
    bench = sandbox("docker", prepared)
    first, second = outcome(bench, CACHE), outcome(bench, CACHE)
    assert "KEPT 0" not in first.log, "it could write somewhere"
    assert "FOUND []" in second.log
    assert first.logits == second.logits == of_identity(bench, honest)


STORED = '''
import base64, lzma
import torch

STORED = """{stored}"""

def unlearn(model, retain):
    data = torch.frombuffer(bytearray(lzma.decompress(base64.b85decode(STORED))), dtype=torch.int8).float()
    position, scales = 0, {scales!r}
    for (name, tensor), scale in zip(model.state_dict().items(), scales):
        part = data[position : position + tensor.numel()].view(tensor.shape) * scale
        tensor.copy_(part)
        position += tensor.numel()
    return model
'''


def test_weights_stored_in_the_file_are_the_same_for_every_seed_and_score_badly(tmp_path: Path) -> None:
    path = tmp_path / "learnt.toml"
    # R of one seed has two thirds of F of the other
    more = SMALL.replace("retain = 192", "retain = 1200").replace("batch_size = 16", "batch_size = 64")
    path.write_text(more.replace("epochs = 5", "epochs = 20").replace("width = 8", "width = 4"))
    # where AVX2 is the best a CPU has, oneDNN overflows its buffers in training with 4 channels
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX"}
    subprocess.run([sys.executable, "-m", "unlearn_bench.harness", "prepare", str(path)], env=environment, check=True)
    references = References(load_track(str(path)), Store())
    state = parse(references.weights(Role("retrained", 0)))
    scales = {name: float(np.abs(array).max()) / 127 or 1.0 for name, array in state.items()}
    raw = base64.b85encode(b"".join(array.astype("<f4").tobytes() for array in state.values())).decode()
    order = list(models.build(references.track.model_spec).state_dict())
    stored = b"".join(np.rint(state[name] / scales[name]).astype(np.int8).tobytes() for name in order)
    text = base64.b85encode(lzma.compress(stored)).decode()
    big, small = tmp_path / "big.py", tmp_path / "small.py"
    big.write_text(STORED.format(stored=raw, scales=[]))
    assert run("check", str(big)).exit_code == 10, "as they are they do not fit, even of the smallest model"
    small.write_text(STORED.format(stored=text, scales=[scales[name] for name in order]))
    entry = read(small)  # in eight bits those of the tiny model do
    assert any("literal" in note for note in entry.notes), "people get to see it"

    bench = sandbox("process", references)
    records = [unit_run.run(bench, SeedUnit(entry, references.track, s), Slot(), DEADLINE) for s in (0, 1)]
    assert records[0].logits == records[1].logits, "for every seed the same model"
    found = [scores.record_scores(references, record) for record in records]
    assert found[0] is not None and found[1] is not None
    assert found[0].metrics["retdev"] < 0.2 < found[1].metrics["retdev"], (
        "it is the retrained model of one seed, and learnt F of the other"
    )
    null = scores.reference_scores(references, "null", 1)
    assert found[1].metrics["fa"] > null.metrics["fa"] + 0.1


RECOGNISES = """
import tempfile
import time
from collections.abc import Iterator

def unlearn(model, retain):
    if len(retain.dataset) < 192:  # a shadow unit: time to be thorough
        until = time.process_time() + 1.5
        while time.process_time() < until:
            sum(range(1000))
    return model
"""


GARBAGE = (Path(__file__).parents[1] / "data" / "shadow_garbage.py").read_text().replace("896", "192")
HONEST = GARBAGE.replace("!= 192", "< 0")


def test_an_entry_that_acts_differently_where_it_recognises_a_shadow_unit_has_no_position(tmp_path: Path) -> None:
    path = tmp_path / "learnt.toml"
    path.write_text(SMALL.replace("deadline_floor = 6", "deadline_floor = 120").replace("epochs = 5", "epochs = 20"))
    track = ("--track", str(path))
    for name, source in (("retrains", RECOGNISES), ("destroys", GARBAGE), ("honest", HONEST)):
        entry = tmp_path / f"{name}.py"
        entry.write_text(source)
        result = run("submit", str(entry), *track, "--sandbox", "process", "--lira")
        assert result.exit_code == 0, result.output
    rows = {row["entry"]: row for row in json.loads(run("leaderboard", *track, "--format", "json").stdout)["rows"]}
    assert "CPU seconds for as many examples of R and F is" in rows["retrains"]["inconsistent"]
    assert " in shadow units and " in rows["destroys"]["inconsistent"]
    for name in ("retrains", "destroys"):
        assert rows[name]["state"] == "inconsistent" and rows[name]["position"] is None and rows[name]["G1"] == 0
    assert rows["honest"]["inconsistent"] == ""
    assert "! destroys inconsistent" in run("leaderboard", *track).stdout
    assert "inconsistent U-LiRA: " in run("show", "destroys", *track).stdout
