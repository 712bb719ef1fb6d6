"""Progress where there is no terminal: what a log file of a cluster's job shows."""

from __future__ import annotations

import pytest

from unlearn_bench.harness.commands import _progress as progress


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
