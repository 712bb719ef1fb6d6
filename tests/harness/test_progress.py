"""Progress on a terminal, and where there is none: what a log file of a cluster's job shows."""

from __future__ import annotations

import io
import sys

import pytest

from unlearn_bench.harness.commands import _progress as progress

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_long_work_says_once_a_minute_how_much_is_done(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.ProgressBar("training x", 100, "epochs", done=20) as bar:
        for done, seconds in ((20, 5), (30, 50), (40, 10), (40, 90), (41, 5), (50, 30), (60, 61)):
            clock[0] += seconds
            bar.at(done)
    assert capsys.readouterr().err.splitlines() == [
        "training x: 40 of 100 epochs, about 3 min left",
        "training x: 41 of 100 epochs, about 7 min left",
        "training x: 60 of 100 epochs, about 4 min left",
    ]


def test_bytes_are_said_in_megabytes(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.ProgressBar("fetching x", 3_000_000_000, "bytes") as bar:
        clock[0] += 100
        bar.step(1_000_000_000)
    assert capsys.readouterr().err == "fetching x: 1,000 of 3,000 MB, about 3 min left\n"


def test_units_say_how_long_the_others_take(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.UnitDisplay("units", 3) as display:
        for key in ("0", "1", "2"):
            display.started(key, f"ft seed {key}")
            clock[0] += 150 if key == "0" else 8
            display.finished(key, f"ft seed {key} ok", ok=True)
    lines = ["units: 3 to run", "[1/3] ft seed 0 ok, about 5 min left", "[2/3] ft seed 1 ok, about 79 s left"]
    assert capsys.readouterr().err.splitlines() == [*lines, "[3/3] ft seed 2 ok"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_work_inside_of_other_work_shares_its_live_block(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    observer = progress.TerminalObserver()
    with observer.units("units", 2) as units, observer.progress("training", 10, "epochs") as training:
        units.started("0", "ft seed 0")
        training.step(4)
        units.finished("0", "ft seed 0 failed", ok=False)
        assert terminal.getvalue().count(HIDE_CURSOR) == 1
    assert terminal.getvalue().count(SHOW_CURSOR) == 1 and "ft seed 0 failed" in terminal.getvalue()
