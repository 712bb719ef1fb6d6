"""The board in a terminal: it fits, says what it leaves out, and is in colour only where somebody sees colours."""

from __future__ import annotations

import re

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.report import terminal_board, track_table
from unlearn_bench.harness.report.text_table import Look
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.workflows.leaderboard import Leaderboard, leaderboard
from unlearn_bench.harness.workflows.list_tracks import list_tracks


@pytest.fixture(scope="module")
def shipped() -> Leaderboard:
    return leaderboard("digits-resnet18")


def table(board: Leaderboard, look: Look, track: str = "digits-resnet18") -> list[str]:
    return terminal_board.table(board.rows, load_track(track), board.null, look=look).splitlines()


def headings(lines: list[str]) -> list[str]:
    return next(line.split() for line in lines if line.startswith("pos"))


@pytest.mark.parametrize("width", [60, 80, 100, 130])
@pytest.mark.parametrize("track", ["digits-resnet18", "digits-confusion", "digits-backdoor"])
def test_the_board_fits_and_always_has_what_counts_for_the_position(
    shipped: Leaderboard, track: str, width: int
) -> None:
    lines = table(shipped, Look(width), track)
    assert max(map(len, lines)) <= width
    assert {"pos", "method", "RetDev", "left", "RTE", "groups"} <= set(headings(lines))


def test_columns_are_dropped_in_the_order_of_their_importance(shipped: Leaderboard) -> None:
    narrow, usual, wide = (headings(table(shipped, Look(width))) for width in (60, 100, 130))
    assert set(narrow) < set(usual) < set(wide)
    assert "range" in usual and "range" not in narrow and "TA" in wide
    assert "not shown at 60 columns: seeds, range" in table(shipped, Look(60))


def test_a_corrupted_track_shows_first_what_its_corruption_leaves(shipped: Leaderboard) -> None:
    assert {"healed", "ASR", "other"} <= set(headings(table(shipped, Look(80), "digits-backdoor")))


def test_columns_are_aligned(shipped: Leaderboard) -> None:
    lines = table(shipped, Look(100))
    head = next(line for line in lines if line.startswith("pos"))
    end = head.index("RTE") + len("RTE")
    assert {line[end - 1] for line in lines if re.match(r"[0-9–].*×", line)} == {"×"}


def test_colour_says_which_group_and_who_does_not_unlearn(shipped: Leaderboard) -> None:
    plain, coloured = table(shipped, Look(100)), table(shipped, Look(100, colour=True))
    assert [re.sub(r"\033\[\d+m", "", line) for line in coloured] == plain
    assert any("\033[32mG1\033[0m" in line for line in coloured)
    assert any(re.search(r"\033\[31mbt=", line) for line in coloured)


def test_the_list_of_tracks_fits() -> None:
    tracks = list_tracks()
    for width in (60, 80, 100, 130):
        listed = track_table.table(tracks, Look(width)).splitlines()
        assert max(map(len, listed)) <= width
        assert ("title" in listed[0]) == (width >= 100)


def test_pipes_have_no_colour_and_the_width_that_columns_says() -> None:
    printed = run("leaderboard", env={"COLUMNS": "80"}).stdout
    assert "\033" not in printed
    assert 60 < max(map(len, printed.splitlines())) <= 80
