"""Trust that a back end earns: written down by a suite that it passed, and lost with whatever that rested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from unlearn_bench.harness.doctor import attack_suite
from unlearn_bench.sandbox import trust
from unlearn_bench.sandbox.limit_checks import LimitCheck
from unlearn_bench.sandbox.suite import AttackOutcome
from unlearn_bench.sandbox.types import LIMITS

PASSED = AttackOutcome("abort", "crash", "crash", 1.0, "it ended")
DEVIATED = AttackOutcome("reaches_out", "ok", "ok", 1.0, "", "BREACH: TCP")


class BackEnd:
    name, advice = "newcomer", "delegate the controllers"
    enforces = LIMITS

    def __init__(self) -> None:
        self.facts = {"engine": "1", "rootless": "True"}

    def configuration(self) -> Mapping[str, str]:
        return self.facts


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackEnd]:
    """A back end without trust, and a suite on it whose limits hold."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    backend = BackEnd()
    monkeypatch.setattr(attack_suite, "attacked", lambda name: backend)
    monkeypatch.setattr(attack_suite.limit_checks, "check", lambda backend: [LimitCheck("user", "holds")])
    yield backend


def test_a_suite_without_deviations_earns_trust(backend: BackEnd) -> None:
    assert not trust.earned(backend)
    assert attack_suite.conclude("newcomer", [PASSED]).startswith("newcomer is trusted on this machine")
    assert trust.earned(backend)


def test_one_deviation_ends_trust(backend: BackEnd) -> None:
    trust.write(backend, passed=True)
    assert "deviations: 1" in attack_suite.conclude("newcomer", [PASSED, DEVIATED])
    assert not trust.earned(backend)


def test_a_limit_that_is_not_promised_ends_trust(backend: BackEnd) -> None:
    trust.write(backend, passed=True)
    backend.enforces = LIMITS - {"processes"}
    said = attack_suite.conclude("newcomer", [PASSED])
    assert "does not keep: processes" in said and backend.advice in said
    assert not trust.earned(backend)


def test_a_limit_that_is_not_kept_ends_trust(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [LimitCheck("shm", "took 1 GiB", "do something")]
    monkeypatch.setattr(attack_suite.limit_checks, "check", lambda backend: broken)
    assert "does not keep: shm" in attack_suite.conclude("newcomer", [PASSED])
    assert not trust.earned(backend)


def test_trust_holds_for_the_configuration_that_earned_it(backend: BackEnd) -> None:
    trust.write(backend, passed=True)
    backend.facts = {"engine": "2", "rootless": "True"}
    assert not trust.earned(backend)


@pytest.mark.parametrize("name", ["node", "release"])
def test_trust_holds_for_the_machine_and_the_kernel_that_earned_it(
    backend: BackEnd, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    trust.write(backend, passed=True)
    monkeypatch.setattr(trust.platform, name, lambda: "another")
    assert not trust.earned(backend)


def test_other_back_ends_are_not_on_probation(backend: BackEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_suite, "attacked", lambda name: object())
    assert attack_suite.conclude("docker", [DEVIATED]) == ""
