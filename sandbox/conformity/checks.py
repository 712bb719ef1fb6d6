"""The checks. Each takes a back end, runs units of the smallest model on it, and raises ``DoesNotConform``."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from unlearn_bench.sandbox import limit_checks, stage
from unlearn_bench.sandbox.backends import SandboxUnavailable, load
from unlearn_bench.sandbox.conformity.cases import CASES, SEEDED, EntryCase
from unlearn_bench.sandbox.tiny import MODEL, tiny_job
from unlearn_bench.sandbox.types import LIMITS, MIB, Limits, Outcome, Sandbox

LEAST_MEMORY = 50 * MIB
"""Peak memory that a process with torch cannot stay below."""
STOP_PATIENCE = 15.0
"""Seconds within which a unit must end after it was told to stop; engines take some of them to answer."""
ABSENT_GPU = "cuda:63"
SECRET = "UNLEARN_BENCH_CONFORMITY_SECRET"

SLEEPS = b"import time\ntime.sleep(0.5)\ndef unlearn(model, retain):\n    time.sleep(0.5)\n"
NEVER_ENDS = b"import time\ndef unlearn(model, retain):\n    time.sleep(3600)\n"
PRINTS_ENVIRONMENT = b"import os\ndef unlearn(model, retain):\n    print(dict(os.environ))\n"
LEAVES_A_FILE = b"""
import pathlib, tempfile

def unlearn(model, retain):
    file = pathlib.Path(tempfile.gettempdir(), "left by the unit before")
    print("found" if file.exists() else "fresh")
    file.touch()
"""


class DoesNotConform(AssertionError):
    """A back end did something other than what it must."""


@dataclass(frozen=True)
class ConformityCheck:
    """One thing that every back end must do; call it with the back end."""

    name: str
    run: Callable[[Sandbox], None]

    def __call__(self, backend: Sandbox) -> None:
        """Run the check.

        Raises:
            DoesNotConform: The back end fails it.
            SandboxUnavailable: The back end cannot be used on this machine.
        """
        if reason := backend.unavailable(MODEL, "cpu"):
            what, _, remedy = reason.partition("; ")
            raise SandboxUnavailable(what, remedy)
        self.run(backend)

    def __str__(self) -> str:
        return self.name


def check_sandbox(backend: Sandbox) -> None:
    """Run every check on a back end, and stop at the first that fails; takes minutes.

    Raises:
        DoesNotConform: The back end fails a check; the message names the check and says what happened.
        SandboxUnavailable: It cannot be used on this machine.
    """
    for check in CHECKS:
        try:
            check(backend)
        except DoesNotConform as error:
            raise DoesNotConform(f"{check}: {error}") from None


def _declaration(backend: Sandbox) -> None:
    _expect(load(backend.name).name == backend.name, f"load({backend.name!r}) gives another back end")
    _expect(isinstance(backend.trusted, bool), f"`trusted` is {backend.trusted!r}, not a bool")
    _expect(isinstance(backend.preference, int), f"`preference` is {backend.preference!r}, not an int")
    for field in ("description", "advice"):
        text = getattr(backend, field)
        _expect(isinstance(text, str) and bool(text) and "\n" not in text, f"`{field}` is {text!r}, not one line")
    _expect(backend.enforces <= LIMITS, f"`enforces` has unknown limits: {sorted(backend.enforces - LIMITS)}")


def _case(case: EntryCase, backend: Sandbox) -> None:
    from safetensors.numpy import load as load_arrays

    fields = dict(case.fields)
    limits: dict[str, Any] = {key: fields.pop(key) for key in ("deadline", "memory") if key in fields}
    with _job(case.source.encode(), limits, **fields) as job:
        outcome = backend.run(job, nullcontext())
        original = load_arrays(job.weights)
    _expect(outcome.status == case.status, f"ended as {outcome.status}, not {case.status}: {outcome}")
    _expect(case.reason in outcome.reason, f"the reason does not hold {case.reason!r}: {outcome.reason!r}")
    _expect("\n" not in outcome.reason, f"the reason is not one line: {outcome.reason!r}")
    _expect(bool(outcome.reason) == (case.status != "ok"), f"{outcome.status} with the reason {outcome.reason!r}")
    _expect(case.log in outcome.log, f"the log does not hold {case.log!r}: {outcome.log!r}")
    for key, value in {"backend": backend.name, "trusted": backend.trusted}.items():
        stated = outcome.environment.get(key)
        _expect(stated == value, f"the environment says {key} {stated!r}, not {value!r}")
    _expect("torch" in outcome.environment, "the environment does not say the version of torch")
    delivered = (outcome.weights is not None, outcome.seconds is not None)
    _expect(delivered == (case.status == "ok",) * 2, f"{outcome.status} with (weights, seconds): {delivered}")
    if outcome.weights is not None:
        _weights(outcome, original, case)


def _weights(outcome: Outcome, original: Mapping[str, Any], case: EntryCase) -> None:
    assert outcome.weights is not None
    layouts = [{n: (a.dtype, a.shape) for n, a in arrays.items()} for arrays in (outcome.weights, original)]
    _expect(layouts[0] == layouts[1], "the weights have another layout than the original's")
    changed = any(not np.array_equal(outcome.weights[name], original[name]) for name in original)
    _expect(changed == case.changed, f"the weights are {'changed' if changed else 'those of the original'}")
    _expect(outcome.cpu_seconds is not None, "no CPU seconds")
    peak = outcome.peak_memory
    _expect(peak is not None and peak > LEAST_MEMORY, f"a peak memory of {peak} bytes")


def _repeats(backend: Sandbox) -> None:
    biases = []
    for seed in (2**40, 2**40, 1):
        with _job(SEEDED.encode(), seed=seed) as job:
            outcome = backend.run(job, nullcontext())
        _expect(outcome.weights is not None, f"ended as {outcome.status}: {outcome.reason}")
        assert outcome.weights is not None
        biases.append(outcome.weights["fc.bias"])
    _expect(np.array_equal(biases[0], biases[1]), "the same seed gives other weights")
    _expect(not np.array_equal(biases[0], biases[2]), "another seed gives the same weights")


def _clock(backend: Sandbox) -> None:
    clock = _Clock()
    with _job(SLEEPS) as job:
        outcome = backend.run(job, clock)
    _expect(clock.entered == 1, f"the clock was held {clock.entered} times, not once")
    _expect(outcome.seconds is not None, f"ended as {outcome.status}: {outcome.reason}")
    assert outcome.seconds is not None
    _expect(outcome.seconds >= 1.0, f"{outcome.seconds:.2f} s for an entry that sleeps for 1 s, import included")
    _expect(outcome.seconds <= clock.seconds, f"{outcome.seconds:.2f} s, and the clock was held {clock.seconds:.2f} s")


def _stop(backend: Sandbox) -> None:
    stop = threading.Event()
    clock = _Clock(stop.set)
    with _job(NEVER_ENDS) as job:
        outcome = backend.run(job, clock, stop)
    _expect(outcome.status == "infra", f"a unit that was told to stop ended as {outcome.status}: {outcome.reason}")
    _expect(clock.seconds < STOP_PATIENCE, f"a unit that was told to stop ended after {clock.seconds:.0f} s")


def _reap(backend: Sandbox) -> None:
    counts: list[int] = []
    with _job(SLEEPS) as job:
        outcome = backend.run(job, _Clock(lambda: counts.append(backend.reap())))
    _expect(outcome.status == "ok", f"reap() touched a running unit, which ended as {outcome.status}: {outcome.reason}")
    _expect(all(isinstance(count, int) and count >= 0 for count in counts), f"reap() returned {counts}")


def _environment(backend: Sandbox) -> None:
    with mock.patch.dict(os.environ, {SECRET: "hidden"}), _job(PRINTS_ENVIRONMENT) as job:
        outcome = backend.run(job, nullcontext())
    _expect(outcome.status == "ok", f"ended as {outcome.status}: {outcome.reason}")
    _expect(SECRET not in outcome.log, "an environment variable of the host is in the sandbox")


def _fresh(backend: Sandbox) -> None:
    for _ in range(2):
        with _job(LEAVES_A_FILE) as job:
            outcome = backend.run(job, nullcontext())
        _expect("fresh" in outcome.log, f"a unit finds the temporary files of the one before: {outcome}")


def _absent_gpu(backend: Sandbox) -> None:
    reason = backend.unavailable(MODEL, ABSENT_GPU)
    _expect(reason is not None and "; " in reason, f"unavailable() says {reason!r} of a GPU that is not there")
    with _job(b"def unlearn(model, retain): pass", device=ABSENT_GPU) as job:
        outcome = backend.run(job, nullcontext())
    _expect(outcome.status == "infra", f"a GPU that is not there: {outcome.status}")


def _limits(backend: Sandbox) -> None:
    failing = [f"{check.name}: {check.text}" for check in limit_checks.check(backend) if check.remedy]
    _expect(not failing, f"`enforces` promises limits that are not kept: {'; '.join(failing)}")


class _Clock:
    """A context manager that measures how long it is held, and calls something as it is entered."""

    def __init__(self, on_enter: Callable[[], object] = lambda: None) -> None:
        self.entered, self.seconds, self._on_enter, self._start = 0, 0.0, on_enter, 0.0

    def __enter__(self) -> None:
        self.entered += 1
        self._start = time.monotonic()
        self._on_enter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._start


@contextmanager
def _job(source: bytes, limits: Mapping[str, Any] | None = None, **fields: Any) -> Iterator[Any]:
    """Yield a job, with a temporary folder in which it may leave nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        bounds = Limits(
            **{"deadline": 60.0, "memory": 2048 * MIB, "processes": 64, "scratch": 32 * MIB, **(limits or {})}
        )
        with tiny_job(source, bounds, **{"run_id": "conformity", **fields}) as job, _temporary_folder(folder):
            yield job
        folders = [path.name for path in Path(folder).glob(f"{stage.PREFIX}*")]
        _expect(not folders, f"a unit left folders behind: {', '.join(folders)}")


def _temporary_folder(folder: str) -> AbstractContextManager[Any]:
    return mock.patch.object(tempfile, "tempdir", folder)


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise DoesNotConform(message)


CHECKS: tuple[ConformityCheck, ...] = (
    ConformityCheck("declares itself", _declaration),
    *(ConformityCheck(f"unit: {case.name}", partial(_case, case)) for case in CASES),
    ConformityCheck("repeats itself from the seed", _repeats),
    ConformityCheck("holds the clock from the go signal to the weights", _clock),
    ConformityCheck("stops on request", _stop),
    ConformityCheck("reaps nothing that lives", _reap),
    ConformityCheck("passes no variable of the host", _environment),
    ConformityCheck("is fresh for every unit", _fresh),
    ConformityCheck("never replaces an absent GPU", _absent_gpu),
    ConformityCheck("keeps the limits that it promises", _limits),
)
"""All checks; a third party's tests may pass any of them a back end."""
