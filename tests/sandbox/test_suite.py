"""The attack suite's own logic: headers are read, and whatever deviates is reported."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from unlearn_bench.sandbox import suite
from unlearn_bench.sandbox.engine import remains
from unlearn_bench.sandbox.suite import BadHeader, HostileEntry, deviations, parse
from unlearn_bench.sandbox.tiny import tiny_job
from unlearn_bench.sandbox.types import Job, Limits, Outcome

ORIGINAL = {"w": np.ones(2, np.float32)}
SOURCE = b"the source of a planted stage"
PLAIN = HostileEntry("plain", b"", "does nothing", "ok")
FINE = Outcome("ok", weights=ORIGINAL, seconds=1.0)


def test_a_header_is_read_without_importing_the_file() -> None:
    source = b'''"""Tries it.

expect: crash
deadline: 2.5
memory: 700
reason: exit code: 4
log: one
log: two
variants: a, b
variants: c
"""
raise SystemExit
'''
    first, second, third = parse("name", source)
    assert first == HostileEntry(
        "name", source, "Tries it.", "crash", 2.5, 700, "exit code: 4", ("one", "two"), variant="a"
    )
    assert [second.label, third.label] == ["name[b]", "name[c]"]


@pytest.mark.parametrize(
    "docstring, words",
    [
        ("", "needs a title"),
        ("Title.", "needs a title, an empty line and `expect:`"),
        ("Title.\nexpect: ok", "an empty line"),
        ("Title.\n\nexpect: fine", "with one of ok, invalid"),
        ("Title.\n\nexpect: ok\nexpcet: crash", "cannot read the header line 'expcet: crash'"),
        ("Title.\n\nexpect: ok\nexpect: crash", "expect is given twice"),
        ("Title.\n\nexpect: ok\ndeadline: soon", "could not convert"),
        ("Title.\n\nexpect: ok\nweights: any", "weights is one of original, changed"),
    ],
)
def test_a_bad_header_is_an_error_and_never_an_attack_that_passes(docstring: str, words: str) -> None:
    with pytest.raises(BadHeader, match=words):
        parse("name", f'"""{docstring}"""'.encode())


def test_every_file_says_what_it_expects() -> None:
    found = suite.attacks()
    assert len(found) == len(list(suite.FOLDER.glob("*.py"))) > 40
    for first, *_ in found:
        assert first.title.endswith("."), first.name
        if first.name.startswith("control_"):
            assert (first.expect, first.weights) == ("ok", "changed"), first.name
        elif (first.expect, first.weights) == ("ok", "original") and first.name != "forges_weights_early":
            assert first.log, f"{first.name} tries things: it must say that it came to its end"


@pytest.mark.parametrize(
    "attack, outcome, words",
    [
        (PLAIN, Outcome("crash", "bad luck"), "ended as crash, not ok: bad luck"),
        (replace(PLAIN, expect="crash"), FINE, "ended as ok, not crash"),
        (PLAIN, replace(FINE, log="a line\nBREACH: root\nall refused"), "BREACH: root"),
        (replace(PLAIN, log=("all refused",)), replace(FINE, log="started"), "the log does not hold 'all refused'"),
        (replace(PLAIN, expect="crash", reason="SIGSEGV"), Outcome("crash", "exit code 0"), "does not hold 'SIGSEGV'"),
        (PLAIN, replace(FINE, weights={"w": np.zeros(2, np.float32)}), "the weights are changed"),
        (replace(PLAIN, weights="changed"), FINE, "the weights are the original ones"),
        (replace(PLAIN, expect="crash"), replace(FINE, status="crash"), "weights came with a status other than ok"),
        (PLAIN, Outcome("ok"), "or none with ok"),
        (replace(PLAIN, expect="crash"), Outcome("crash", "\x1b[31mred"), "the reason is not one short line"),
        (replace(PLAIN, expect="crash"), Outcome("crash", "two\nlines"), "the reason is not one short line"),
        (replace(PLAIN, expect="crash"), Outcome("crash", "x" * 301), "the reason is not one short line"),
        (PLAIN, replace(FINE, log="x" * 4097), "the log is not a few KiB"),
        (PLAIN, replace(FINE, log="left\u202eright"), "the log is not a few KiB of printable text"),
    ],
)
def test_what_deviates_is_said(attack: HostileEntry, outcome: Outcome, words: str) -> None:
    found = list(deviations(attack, outcome, ORIGINAL, 1.0))
    assert any(words in line for line in found), found


def test_what_does_not_deviate_passes_and_a_hang_does_not() -> None:
    assert list(deviations(PLAIN, FINE, ORIGINAL, 1.0)) == []
    assert "a hang" in "".join(deviations(PLAIN, FINE, ORIGINAL, PLAIN.deadline + suite.PATIENCE + 1))


class Recorder:
    """A back end that returns the original's weights and notes who runs beside whom."""

    name, trusted = "recorder", False

    def __init__(self) -> None:
        self.lock, self.running, self.most, self.seen = threading.Lock(), 0, 0, list[Job]()

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        return None

    def reap(self) -> int:
        return 0

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.seen.append(job)
        time.sleep(0.02)
        with self.lock:
            self.running -= 1
        log = "BREACH: out" if job.source == b"bad" else ""
        return Outcome("ok", weights=load(job.weights), seconds=0.0, log=log)


def test_the_suite_runs_two_at_a_time_variants_in_turn_and_reports_in_order() -> None:
    backend = Recorder()
    chosen = [
        tuple(replace(PLAIN, name="many", variant=variant, memory=700) for variant in "abc"),
        *((replace(PLAIN, name=f"one{i}", source=b"bad" if i == 1 else b"good"),) for i in range(4)),
    ]
    with tiny_job(b"", Limits(deadline=0), run_id="run-id") as job:
        results = list(suite.run(backend, job, chosen))
        assert job.data.is_file()
    assert not job.data.exists()
    assert [r.attack for r in results] == ["many[a]", "many[b]", "many[c]", "one0", "one1", "one2", "one3"]
    assert [r.attack for r in results if not r.ok] == ["one1"]
    assert backend.most == 2
    assert [j.parameters["variant"] for j in backend.seen if j.parameters] == ["a", "b", "c"]
    limits = backend.seen[0].limits
    assert (limits.memory, limits.processes, limits.scratch) == (700 * 2**20, 64, 32 * 2**20)
    assert backend.seen[0].run_id == "run-id"


def no_engine() -> Any:
    nothing = SimpleNamespace(list=lambda **_: [])
    return SimpleNamespace(api=SimpleNamespace(containers=nothing.list), volumes=nothing)


@pytest.fixture
def planted() -> Iterator[dict[str, str]]:
    """Things that a unit could leave behind: a stage, an attack's file, a process."""
    with tempfile.TemporaryDirectory() as stage, tempfile.NamedTemporaryFile(prefix=remains.MARK) as mark:
        entry = Path(stage, remains.ENTRY)
        entry.parent.mkdir()
        entry.write_bytes(SOURCE)
        with subprocess.Popen(["sleep", "60"]) as child:
            yield {stage: "files", mark.name: "files", f"{child.pid} sleep": "processes"}
            child.kill()


def test_what_is_left_is_found(planted: dict[str, str]) -> None:
    after = remains.look(no_engine(), [SOURCE])
    for what, kind in planted.items():
        assert any(what in found for found in getattr(after, kind)), what
    empty = replace(after, files=frozenset(), processes=frozenset(), threads=frozenset(), descriptors=frozenset())
    lines = remains.remains(no_engine(), [SOURCE], empty, patience=0)
    assert {line.split()[0] for line in lines} >= {"files", "processes", "threads", "descriptors"}
    assert remains.difference(after, after) == {}


@pytest.mark.parametrize("kind", ["containers", "volumes", "mounts"])
def test_each_kind_of_thing_counts(kind: str) -> None:
    before = remains.look(no_engine(), [SOURCE])
    after = replace(before, **{kind: getattr(before, kind) | {"new"}})
    assert remains.difference(before, after) == {kind: frozenset({"new"})}
    assert remains.difference(after, before) == {}


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_disk_and_memory_have_a_tolerance(kind: str) -> None:
    before = remains.look(no_engine(), [SOURCE])
    free = getattr(before, kind)
    assert remains.difference(before, replace(before, **{kind: free - remains.TOLERANCE})) == {}
    assert kind in remains.difference(before, replace(before, **{kind: free - remains.TOLERANCE - 1}))


def test_what_others_do_meanwhile_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = remains.look(no_engine(), [SOURCE])
    moments = iter([replace(before, mounts=before.mounts | {str(i), "stays"}) for i in range(3)])
    monkeypatch.setattr(remains, "look", lambda client, sources: next(moments))
    monkeypatch.setattr(remains, "time", SimpleNamespace(monotonic=iter([0, 1, 2, 99]).__next__, sleep=lambda s: None))
    assert remains.remains(no_engine(), [SOURCE], before, patience=3) == ["mounts left: stays"]
