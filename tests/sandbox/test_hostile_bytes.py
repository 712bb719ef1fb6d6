"""Bytes from a sandbox and from an engine's stream are data: any of them give a verdict, in bounded time and memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save

from unlearn_bench.sandbox.engine.attach import Demultiplexer, StreamError
from unlearn_bench.sandbox.frames import ERROR, READY, WEIGHTS, Parser, encode, header
from unlearn_bench.sandbox.session import ERROR_BOUND, REPORT_BOUND, conduct
from unlearn_bench.sandbox.types import MIB, STATUSES, Chunk, Exit, Job, Limits, Outcome
from unlearn_bench.sandbox.weights import InvalidWeights, bound, check

LAYOUT = {
    "bn.running_var": ("F32", (3,)),
    "bn.num_batches_tracked": ("I64", ()),
    "fc.weight": ("F32", (2, 3)),
    "mask": ("BOOL", (2,)),
}
GOOD = save(
    {
        "bn.running_var": np.array([0, 1, 2], np.float32),
        "bn.num_batches_tracked": np.array(7, np.int64),
        "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "mask": np.array([True, False]),
    }
)
REPORT = json.dumps({"torch": "2.0", "device": "x86"}).encode()
FAILURE = json.dumps({"status": "crash", "type": "ValueError", "message": "m", "traceback": "t"}).encode()
JOB = Job(b"", {}, {}, b"", Path(), (), (), 1, 0, Limits(deadline=0.2, startup=0.2, memory=64 * MIB, log=1000))


class Script:
    """A sandbox that says the given chunks before and after the go signal, then closes the channel or stays silent."""

    def __init__(self, before: list[Chunk], after: list[Chunk], closes: bool = True, exit_: Exit | None = None) -> None:
        self.said, self.after, self.closes, self.exit = list(before), after, closes, exit_ or Exit(3)

    def receive(self, timeout: float) -> list[Chunk] | None:
        if self.said:
            return [self.said.pop(0)]
        if self.closes:
            return None
        time.sleep(timeout)
        return []

    def send(self, data: bytes) -> None:
        self.said = list(self.after)

    def cpu_seconds(self) -> float | None:
        return None

    def over_memory(self) -> bool:
        return False

    def stop(self, grace: float) -> Exit:
        return self.exit


def run(script: Script, layout: Any = LAYOUT, job: Job = JOB) -> Outcome:
    return conduct(job, layout, script, nullcontext(), {"backend": "script"})


def same(one: Outcome, other: Outcome) -> bool:
    weights = [None if o.weights is None else {k: v.tolist() for k, v in o.weights.items()} for o in (one, other)]
    words = [(o.status, o.reason, o.warnings, o.log, dict(o.environment)) for o in (one, other)]
    return weights[0] == weights[1] and words[0] == words[1]


def split(data: st.DataObject, stream: bytes) -> list[Chunk]:
    """The stream in pieces, cut anywhere, empty ones among them."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    return [("channel", stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800\x1b[2J\u202e"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
numbers = st.sampled_from([0, 1, 2, 3, 8, 12, 2**31, 2**63, 2**64, -1, True, 1.0, float("nan"), 10**400])


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """A valid text with bytes changed, dropped, doubled, inserted or cut off."""
    text = bytearray(valid)
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 9)))
        text[begin:end] = draw(st.binary(max_size=9) | st.just(bytes(text[begin:end]) * 2))
    return bytes(text)


@st.composite
def tensors(draw: st.DrawFn) -> bytes:
    """Safetensors of the layout with entries, names, lengths and data spoilt in the ways of the format."""
    size = int.from_bytes(GOOD[:8], "little")
    entries: dict[str, Any] = json.loads(GOOD[8 : 8 + size])
    body = GOOD[8 + size :]
    for name in draw(st.lists(st.sampled_from(sorted(LAYOUT)), max_size=2)):
        entry = entries.setdefault(name, {})
        field = draw(st.sampled_from(["dtype", "shape", "data_offsets", "more", "", "gone"]))
        values = (
            json_values
            | st.lists(numbers, max_size=3)
            | st.sampled_from(["F32", "F16", "I64", "BOOL"])
            | st.sampled_from([[0, 12], [12, 20], [20, 44], [44, 46], [0, 8], [8, 32], [32, 44]])
        )
        if field == "gone":
            del entries[name]
        elif field and isinstance(entry, dict):
            entry[field] = draw(values)
        else:
            entries[name] = draw(json_values)
    if draw(st.booleans()):
        entries[draw(st.text(max_size=5))] = draw(json_values)
    text = json.dumps(entries).encode()
    length = draw(st.just(len(text)) | st.integers(0, 2**64 - 1) | st.integers(0, 500))
    return length.to_bytes(8, "little") + text + draw(st.just(body) | mutated(body))


weights = st.just(GOOD) | tensors() | mutated(GOOD) | st.binary(max_size=200)
failures = st.just(FAILURE) | mutated(FAILURE) | json_values.map(lambda v: json.dumps(v).encode()) | (
    st.fixed_dictionaries({}, optional=dict.fromkeys(("status", "type", "message", "traceback"), json_values))
    | st.fixed_dictionaries({"status": st.sampled_from(STATUSES)})
).map(lambda v: json.dumps(v).encode())  # fmt: skip
lengths = st.integers(0, 2**64 - 1) | st.sampled_from([0, bound(LAYOUT), bound(LAYOUT) + 1, ERROR_BOUND, 2**63])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What a sandbox may say after the go signal: frames and things like frames, one after the other."""
    stream = b""
    for _ in range(draw(st.integers(1, 3))):
        kind, payload = draw(
            st.tuples(st.just(WEIGHTS), weights)
            | st.tuples(st.just(ERROR), failures)
            | st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=40))
        )
        stream += header(kind, draw(lengths)) + payload if draw(st.integers(0, 4)) == 0 else encode(kind, payload)
    return draw(st.just(stream) | mutated(stream))


@given(streams(), st.data())
def test_what_a_sandbox_says_gives_one_verdict_however_it_is_cut(stream: bytes, data: st.DataObject) -> None:
    ready: list[Chunk] = [("channel", encode(READY, REPORT))]
    whole = run(Script(ready, [("channel", stream)]))
    said = {status for status in ("oom", "not-applicable") if status.encode() in stream}
    assert whole.status in {"ok", "invalid", "crash"} | said
    assert (whole.weights is not None) == (whole.status == "ok") == (whole.reason == "")
    assert "\n" not in whole.reason and len(whole.reason) <= 300
    assert same(whole, run(Script(ready, split(data, stream))))
    assert same(whole, run(Script(ready, [("channel", bytes([byte])) for byte in stream])))


@given(mutated(encode(READY, REPORT)) | json_values.map(lambda v: encode(READY, json.dumps(v).encode())), st.data())
def test_what_a_sandbox_says_before_it_is_ready_is_never_an_entry_s_fault(stream: bytes, data: st.DataObject) -> None:
    outcome = run(Script(split(data, stream), []))
    assert outcome.status == "infra" or (outcome.status == "crash" and stream[:1] == READY)
    assert outcome.environment["backend"] == "script"
    assert all(isinstance(word, str) and len(word) <= 200 for word in outcome.environment.values())


def test_weights_that_come_before_the_go_signal_do_not_count() -> None:
    outcome = run(Script([("channel", encode(READY, REPORT) + encode(WEIGHTS, GOOD))], []))
    assert outcome.status == "infra" and "go signal" in outcome.reason


@pytest.mark.parametrize("after", [b"?" * 20, header(b"W", 2**63), encode(ERROR, FAILURE), b"\0"])
def test_what_follows_the_first_frame_is_never_looked_at(after: bytes) -> None:
    ready: list[Chunk] = [("channel", encode(READY, REPORT))]
    assert run(Script(ready, [("channel", encode(WEIGHTS, GOOD) + after)])).status == "ok"


@given(st.lists(st.tuples(st.sampled_from(["channel", "log"]), st.binary(max_size=80)), max_size=12), st.booleans())
def test_any_chunks_end_in_a_status_by_the_deadline(chunks: list[Chunk], closes: bool) -> None:
    job = replace(JOB, limits=replace(JOB.limits, deadline=0.01, startup=0.01))
    for before, after in ((chunks, []), ([("channel", encode(READY, REPORT))], chunks)):
        began = time.monotonic()
        outcome = run(Script(before, after, closes), job=job)
        assert outcome.status in STATUSES
        assert len(outcome.log.encode()) <= 4096
        assert time.monotonic() - began < 60, "bounded by the deadline, not by what arrives"


@given(weights)
@example(b"\xff" * 8)
def test_any_weights_are_the_layout_s_or_invalid(data: bytes) -> None:
    try:
        found = check(data, LAYOUT)
    except InvalidWeights as error:
        assert "\n" not in str(error) and "\x1b" not in str(error) and len(str(error)) < 500
        return
    assert {name: array.shape for name, array in found.items()} == {name: shape for name, (_, shape) in LAYOUT.items()}
    assert all(np.isfinite(array).all() for array in found.values())
    assert (found["bn.running_var"] >= 0).all()


@pytest.mark.parametrize("depth", [10, 300, 600, *range(880, 1000, 3), 5000])
def test_nesting_of_any_depth_is_a_verdict(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    header_ = json.dumps(dict.fromkeys(LAYOUT, 0)).encode().replace(b'"mask": 0', b'"mask": ' + nested)
    shape = b'{"dtype": "BOOL", "shape": ' + nested + b', "data_offsets": [44, 46]}'
    size = int.from_bytes(GOOD[:8], "little")
    entries = json.loads(GOOD[8 : 8 + size])
    entries["mask"] = None
    header_of_shape = json.dumps(entries).encode().replace(b"null", shape)
    layout = {**LAYOUT, "padding" * 4000: ("BOOL", (0,))}  # the bound on the header lets the nesting through
    for text in (header_, header_of_shape):
        with pytest.raises(InvalidWeights):
            check(len(text).to_bytes(8, "little") + text, layout)
    ready: list[Chunk] = [("channel", encode(READY, b'{"torch": ' + nested + b"}"))]
    for name in ("status", "type", "message", "traceback"):
        said = b'{"' + name.encode() + b'": ' + nested + b"}"
        assert run(Script(ready, [("channel", encode(ERROR, said))])).status == "crash"


@given(st.lists(st.binary(max_size=60)), st.data())
def test_the_engine_s_stream_gives_its_payloads_or_an_error(pieces: list[bytes], data: st.DataObject) -> None:
    stream, told = b"".join(pieces), []
    for chunks in ([stream], [part for _, part in split(data, stream)]):
        demultiplexer, seen = Demultiplexer(), {"channel": b"", "log": b""}
        try:
            for chunk in chunks:
                for source, piece in demultiplexer.feed(chunk):
                    seen[source] += piece
            told.append((seen, None))
        except StreamError as error:
            told.append(({}, str(error)))
    assert told[0] == told[1]
    assert len(told[0][0].get("channel", b"")) <= len(stream)


@pytest.mark.parametrize("stream", [b"\x03\0\0\0\0\0\0\x05error", b"\x01\0\0\x01\0\0\0\x01x", b"HTTP/1.1 500 no"])
def test_an_engine_that_breaks_off_is_not_the_entry_s_fault(stream: bytes) -> None:
    with pytest.raises(StreamError):
        Demultiplexer().feed(stream)


def traced(script: Script, layout: Any) -> tuple[Outcome, int]:
    tracemalloc.start()
    try:
        outcome = run(script, layout, replace(JOB, limits=replace(JOB.limits, deadline=60)))
        return outcome, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_length_is_no_reason_to_allocate() -> None:
    layout = {"w": ("F32", (2**28,))}
    ready: list[Chunk] = [("channel", encode(READY, REPORT))]
    outcome, peak = traced(Script(ready, [("channel", header(WEIGHTS, bound(layout)) + b"x" * 100)]), layout)
    assert outcome.status == "crash" and peak < MIB
    outcome, peak = traced(Script(ready, [("channel", header(ERROR, ERROR_BOUND))]), layout)
    assert outcome.status == "crash" and peak < MIB
    outcome, peak = traced(Script([("channel", header(READY, REPORT_BOUND))], []), layout)
    assert outcome.status == "infra" and peak < MIB


def test_memory_is_bounded_by_the_layout_whatever_is_sent() -> None:
    count = 2**20
    layout = {"w": ("F32", (count,))}
    good = encode(WEIGHTS, save({"w": np.zeros(count, np.float32)}))
    pieces: list[Chunk] = [("channel", good[i : i + 65536]) for i in range(0, len(good), 65536)]
    flood: list[Chunk] = [("log", b"y" * 65536)] * 200
    ready: list[Chunk] = [("channel", encode(READY, REPORT))]
    outcome, peak = traced(Script(ready, [*flood, *pieces]), layout)
    assert outcome.status == "ok"
    assert peak < 4 * len(good), "the payload, its copy as arrays, and what checking them takes"


def test_a_parser_keeps_at_most_one_payload() -> None:
    parser = Parser({WEIGHTS: 1000})
    frame, taken = parser.feed(encode(WEIGHTS, b"x" * 1000) * 50)
    assert frame is not None and len(frame.payload) == 1000 and taken == 1009


@pytest.mark.parametrize(
    "after, closes, status",
    [
        ([("channel", encode(WEIGHTS, GOOD))], True, "ok"),
        ([("channel", encode(WEIGHTS, b"junk"))], True, "invalid"),
        ([("channel", encode(ERROR, FAILURE))], True, "crash"),
        ([("channel", b"?" * 9)], True, "invalid"),
        ([], True, "infra"),
        ([("channel", encode(WEIGHTS, GOOD)[:-1])], False, "infra"),
    ],
)
def test_what_arrived_counts_though_the_sandbox_could_not_be_stopped(
    after: list[Chunk], closes: bool, status: str
) -> None:
    lost = Exit(None, failure="the engine did not answer; start it again")
    outcome = run(Script([("channel", encode(READY, REPORT))], after, closes, lost))
    assert outcome.status == status
    if status == "infra":
        assert outcome.reason == lost.failure
    else:
        assert "start it again" in outcome.warnings[0]


@pytest.mark.parametrize(
    "said", [{}, {"status": "invalid"}, {"type": "\x1b[2J", "message": "\u202e"}, {"status": "oom"}]
)
def test_a_failure_without_words_still_has_a_reason(said: dict[str, str]) -> None:
    outcome = run(Script([("channel", encode(READY, REPORT))], [("channel", encode(ERROR, json.dumps(said).encode()))]))
    assert outcome.status == said.get("status", "crash") and outcome.reason.strip(" :")
