"""Sandboxes start side by side, but nothing starts while a unit is timed, and only one is timed."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.turns import Turns


def test_a_timed_unit_is_alone_and_starts_overlap() -> None:
    turns, lock = Turns(), threading.Lock()
    state = {"starting": 0, "timed": 0, "most starting": 0, "done": 0}
    wrong: list[str] = []

    def change(key: str, by: int) -> None:
        with lock:
            state[key] += by
            state["most starting"] = max(state["most starting"], state["starting"])
            if state["timed"] > 1 or (state["timed"] and state["starting"]):
                wrong.append(str(state))

    def unit(seed: int) -> None:
        rng = random.Random(seed)
        with turns.turn() as clock:
            change("starting", 1)
            time.sleep(rng.uniform(0.001, 0.01))
            change("starting", -1)
            if seed % 5 == 0:
                return  # a sandbox that never became ready
            with clock:
                change("timed", 1)
                time.sleep(rng.uniform(0.001, 0.005))
                change("timed", -1)
        change("done", 1)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(unit, range(60), timeout=60))
    assert wrong == []
    assert state["done"] == 48
    assert state["most starting"] > 1


def test_an_error_on_the_clock_frees_it() -> None:
    turns = Turns()
    with pytest.raises(RuntimeError), turns.turn() as clock, clock:
        raise RuntimeError
    with turns.turn() as clock, clock:
        pass
