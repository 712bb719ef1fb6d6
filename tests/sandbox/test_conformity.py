"""The conformity checks notice a back end that does otherwise; no unit is run."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from safetensors.numpy import load

from unlearn_bench.sandbox import conformity
from unlearn_bench.sandbox.backends import SandboxUnavailable
from unlearn_bench.sandbox.backends.process import Process
from unlearn_bench.sandbox.types import MIB, Job, Outcome

CHECKS = {check.name: check for check in conformity.CHECKS}


class Pretender(Process):
    """Says of every unit what ``answer`` says, without running it."""

    step = 1
    """What it adds to every weight."""

    def __init__(self, answer: Callable[[Outcome], Outcome] = lambda outcome: outcome, reason: str = "") -> None:
        self.answer, self.reason = answer, reason

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        return self.reason or None

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        with clock:
            weights = {name: array + array.dtype.type(self.step) for name, array in load(job.weights).items()}
        environment = {"backend": self.name, "trusted": self.trusted, "torch": "2"}
        return self.answer(Outcome("ok", "", weights, 0.0, 1.0, 100 * MIB, environment=environment))


def test_the_pretender_passes_what_it_pretends() -> None:
    CHECKS["unit: in place"](Pretender())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda o: Outcome("crash", "bad luck"), "ended as crash, not ok"),
        (lambda o: replace(o, reason="why"), "ok with the reason 'why'"),
        (lambda o: replace(o, environment={**o.environment, "backend": "docker"}), "backend 'docker', not 'process'"),
        (lambda o: replace(o, environment={**o.environment, "trusted": True}), "trusted True, not False"),
        (lambda o: replace(o, environment={"backend": "process", "trusted": False}), "version of torch"),
        (lambda o: replace(o, seconds=None), "(weights, seconds): (True, False)"),
        (lambda o: replace(o, weights={n: a.astype("f8") for n, a in o.weights.items()}), "another layout"),
        (lambda o: replace(o, cpu_seconds=None), "no CPU seconds"),
        (lambda o: replace(o, peak_memory=1), "a peak memory of 1 bytes"),
        (lambda o: (tempfile.mkdtemp(prefix="unlearn-bench-unit-"), o)[1], "left folders behind"),
    ],
)
def test_an_outcome_that_differs_does_not_conform(answer: Callable[[Any], Outcome], words: str) -> None:
    with pytest.raises(conformity.DoesNotConform) as caught:
        CHECKS["unit: in place"](Pretender(answer))
    assert words in str(caught.value)


def test_weights_that_should_have_changed_do_not_conform() -> None:
    backend = Pretender()
    backend.step = 0
    with pytest.raises(conformity.DoesNotConform, match="the weights are those of the original"):
        CHECKS["unit: in place"](backend)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unit: raises", "ended as ok, not crash"),
        ("repeats itself from the seed", "another seed gives the same weights"),
        ("holds the clock from the go signal to the weights", "for an entry that sleeps for 1 s"),
        ("stops on request", "told to stop ended as ok"),
        ("is fresh for every unit", "temporary files of the one before"),
        ("never replaces an absent GPU", "says None of a GPU that is not there"),
        ("keeps the limits that it promises", "cpu limit: the unit that tries it did not report"),
    ],
)
def test_a_back_end_that_runs_nothing_does_not_conform(name: str, words: str) -> None:
    with pytest.raises(conformity.DoesNotConform) as caught:
        CHECKS[name](Pretender())
    assert words in str(caught.value)


def test_variables_of_the_host_in_the_sandbox_do_not_conform() -> None:
    leaking = Pretender(lambda outcome: replace(outcome, log=repr(dict(os.environ))))
    with pytest.raises(conformity.DoesNotConform, match="environment variable of the host"):
        CHECKS["passes no variable of the host"](leaking)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("trusted", "yes", "not a bool"),
        ("description", "", "not one line"),
        ("advice", "two\nlines", "not one line"),
        ("enforces", frozenset({"gravity"}), "unknown limits"),
    ],
)
def test_a_wrong_declaration_does_not_conform(field: str, value: Any, words: str) -> None:
    backend = Pretender()
    setattr(backend, field, value)
    with pytest.raises(conformity.DoesNotConform, match=words):
        CHECKS["declares itself"](backend)


def test_the_first_failing_check_is_named() -> None:
    count = iter(range(10))
    with pytest.raises(conformity.DoesNotConform, match="unit: dictionaries and a copy: ended as crash"):
        conformity.check_sandbox(Pretender(lambda o: o if next(count) < 1 else Outcome("crash", "x")))


def test_a_back_end_that_cannot_run_here_is_no_failure_of_it() -> None:
    with pytest.raises(SandboxUnavailable, match="no engine; start one"):
        conformity.check_sandbox(Pretender(reason="no engine; start one"))
