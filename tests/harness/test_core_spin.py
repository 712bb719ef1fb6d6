"""The spin tells a core that is slower than it has been from one that is slow for a moment."""

from __future__ import annotations

import pytest

from unlearn_bench.harness.units import core_spin

CORE = (0,)


@pytest.fixture
def repetitions(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the repetitions to come, the last of which repeats; six of them that are slow are a slow spin."""
    left = [1.0]

    class Repetition:
        def seconds(self) -> float:
            return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(core_spin, "_Repetition", Repetition)
    monkeypatch.setattr(core_spin, "REPETITIONS", 6)
    monkeypatch.setattr(core_spin, "_fastest", {})
    return left


def slowness() -> float:
    return core_spin.slowness(CORE, core_spin.spin(CORE))


def test_a_core_that_stays_slower_than_it_was_is_slow(repetitions: list[float]) -> None:
    assert slowness() == 0.0
    repetitions[:] = [1.5]
    assert slowness() == pytest.approx(0.5)


def test_a_core_is_not_slow_within_the_tolerance(repetitions: list[float]) -> None:
    core_spin.spin(CORE)
    repetitions[:] = [1.2]
    assert slowness() == 0.0


def test_one_repetition_at_the_old_speed_shows_that_a_core_is_not_slow(repetitions: list[float]) -> None:
    core_spin.spin(CORE)
    repetitions[:] = [1.5, 1.5, 1.5, 1.5, 1.05, 8.0, 9.0]
    assert slowness() == 0.0
    assert repetitions == [8.0, 9.0], "and ends the spin"


def test_the_first_spin_looks_for_the_fastest_of_all_its_repetitions(repetitions: list[float]) -> None:
    repetitions[:] = [1.5, 1.5, 1.5, 1.5, 1.0, 1.5]
    assert core_spin.spin(CORE) == 1.0


def test_a_spin_is_judged_by_faster_ones_that_come_later(repetitions: list[float]) -> None:
    seconds = core_spin.spin(CORE)
    repetitions[:] = [0.5]
    core_spin.spin(CORE)
    assert core_spin.slowness(CORE, seconds) == pytest.approx(1.0)


def test_a_spin_is_not_slow_because_a_later_one_is_a_little_faster(repetitions: list[float]) -> None:
    core_spin.spin(CORE)
    repetitions[:] = [1.24, 1.05]
    seconds = core_spin.spin(CORE)
    repetitions[:] = [0.95]
    core_spin.spin(CORE)
    assert core_spin.slowness(CORE, seconds) == 0.0


def test_each_core_has_a_speed_of_its_own(repetitions: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_spin, "_fastest", {(7,): 0.5})
    assert slowness() == 0.0
