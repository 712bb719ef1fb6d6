"""The board over several tracks beside the paper's tables, and what the boards say in sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.harness.conftest import run
from tests.site.synthetic import fill, methods
from unlearn_bench.harness.report import findings_text, overall_document, overall_text
from unlearn_bench.harness.report.paper_sentences import sentences
from unlearn_bench.harness.results import findings
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.results.paper_comparison import compare
from unlearn_bench.harness.results.published import published
from unlearn_bench.harness.results.track_boards import TrackBoard
from unlearn_bench.harness.workflows.leaderboard import OverallBoard, overall_board
from unlearn_bench.scoring.agreement import agreement
from unlearn_bench.scoring.forgetting import Reading
from unlearn_bench.scoring.panel_result import PanelResult

MADE_UP = ("cifar10-resnet18", "mnist-resnet18")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> OverallBoard:
    """Two of the paper's settings with made-up records, on the second of which one method has not run."""
    home, entries = tmp_path_factory.mktemp("two"), methods(20)
    fill(home, MADE_UP[:1], entries, drawn_curves=False)
    fill(home, MADE_UP[1:], [entry for entry in entries if entry.name != "cf_k"], drawn_curves=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(home))
        return overall_board(MADE_UP)


def test_published_numbers_have_the_names_of_shipped_methods_and_the_printed_ranks() -> None:
    found = published()
    assert {"ng_plus", "cf_k", "salun"} < set(found.methods) and len(found.methods) == 18
    assert found.counts["retdev"].loc["msg"].tolist() == [8, 1, 0, 0, 1]
    assert found.counts["indisc"].loc["srl", "rank"] == 4
    assert found.speed.loc["ct", "cifar10"] == 17.49 and found.replication.loc["ft", "indisc"] == 0.994


def test_tracks_are_counted_beside_the_papers_nine_settings(two: OverallBoard) -> None:
    comparison = two.comparison
    assert comparison.settings == ["mnist-resnet18", "cifar10-resnet18"]
    for metric in ("retdev", "indisc", "forgetting"):
        counts = comparison.counts[metric]
        assert (counts[["G1", "G2", "G3", "F", "missing"]].sum(axis=1) == 2).all()
    assert comparison.missing == {"cf_k": ["mnist-resnet18"]}
    assert pd.isna(comparison.counts["retdev"].loc["cf_k", "rank"])
    assert "cf_k" not in set(two.rows["entry"])


def test_speeds_are_means_over_data_sets_as_in_table_2(two: OverallBoard) -> None:
    speed = two.comparison.speed
    assert list(speed) == ["cifar10", "mnist", "mean"]
    assert speed.loc["ct", "mean"] == pytest.approx((speed.loc["ct", "cifar10"] + speed.loc["ct", "mnist"]) / 2)
    assert pd.isna(speed.loc["cf_k", "mean"]) and speed.loc["cf_k", "cifar10"] > 0


def test_every_setting_is_compared_with_the_paper_and_the_replication(two: OverallBoard) -> None:
    found = two.comparison.agreements
    assert list(found) == [*MADE_UP, "overall", "replication"]
    assert found["cifar10-resnet18"]["retdev", "replication"].methods == 17
    assert found["mnist-resnet18"]["rte", "paper"].methods == 6
    assert set(found["replication"]) == {("retdev", "paper"), ("indisc", "paper")}
    assert found["replication"]["retdev", "paper"].tau > 0.2


def test_a_board_like_the_paper_agrees_with_it() -> None:
    rank = published().counts["retdev"]["rank"].astype(float)
    letters = pd.cut(rank, [0, 4, 8, 20], labels=["G1", "G2", "G3"]).astype("string")
    rows = pd.DataFrame({"state": "ok", "retdev": rank / 10, "indisc": 1 - rank / 20, "group_retdev": letters})
    board = TrackBoard(None, rows, {})  # type: ignore[arg-type]
    assert board.order("retdev").sort_values().index[0] in ("ft", "msg")
    for metric in ("retdev", "indisc"):  # the best is low by one, and high by the other
        found = agreement(board.order(metric), rank)
        assert found is not None and found.tau == 1
    rows["state"] = rows["state"].mask(rows.index == "ft", "failed")
    assert board.order("retdev")["ft"] == float("inf"), "a method that failed comes last"
    rows["state"] = rows["state"].mask(rows.index == "ft", "incomplete")
    assert "ft" not in board.order("retdev") and pd.isna(board.letters("retdev")["ft"])


def test_sentences_name_methods_far_from_their_place_and_those_that_failed(two: OverallBoard) -> None:
    rows = two.comparison.boards[0].rows.copy()
    rows[["state", "reason"]] = ["ok", ""]
    rows["group_retdev"] = "G2"
    rows.loc["ga", "group_retdev"] = "G1"
    rows.loc["ft", ["group_retdev", "state", "reason"]] = ["F", "failed", "1 crash of 10 seeds"]
    text = " ".join(sentences(compare([replace(two.comparison.boards[0], rows=rows)])))
    assert "better here ga (place 1, in the paper 17)" in text
    assert "worse here ft (place 18, in the paper 1.5)" in text
    assert "F on cifar10-resnet18: ft (1 crash of 10 seeds)." in text


def test_the_terminal_shows_every_table_in_100_columns(two: OverallBoard) -> None:
    text = overall_text.table(two.rows, two.comparison)
    assert [line for line in text.splitlines() if len(line) > 100] == []
    for heading in ("The board over 2 tracks", "Table 1", "Table 2", "Figure 1", "Kendall’s τ"):
        assert heading in text
    flowing = " ".join(text.split())
    assert "Of the paper’s nine settings mnist-resnet18 and cifar10-resnet18 have a board here" in flowing
    assert "cf_k has no group on mnist-resnet18" in flowing
    assert "U-LiRA has run on none of these settings" in flowing


def test_the_command_shows_what_ships_with_u_lira_in_100_columns(tmp_path: Path) -> None:
    result = run("leaderboard", "--overall", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "overall.txt").read_text()
    assert [line for line in text.splitlines() if len(line) > 100] == []
    assert "digits-resnet18 (null band" in text and "its interval reaches" in " ".join(text.split())


def test_as_json_it_has_both_sides(two: OverallBoard) -> None:
    content = json.loads(overall_document.as_json(two.rows, two.comparison))
    here, paper = ({row["entry"]: row for row in content["groups"]["retdev"][side]} for side in ("here", "paper"))
    assert sum(here["ct"][letter] for letter in ("G1", "G2", "G3", "F")) == 2
    assert paper["ct"]["G1"] == 7 and content["groups"]["forgetting"]["paper"] is None
    assert content["tracks"] == list(MADE_UP) and content["ulira"] == {name: [] for name in MADE_UP}
    assert {row["setting"] for row in content["agreement"]} == {*MADE_UP, "overall", "replication"}


@pytest.mark.parametrize("option", [("--format", "csv"), ("--columns", "literature"), ("--figures", "x")])
def test_other_forms_of_the_board_over_tracks_are_refused(option: tuple[str, str]) -> None:
    result = run("leaderboard", "--overall", *option)
    assert result.exit_code == 2 and "--overall is a table or json" in result.stderr


def test_tracks_of_different_tiers_have_no_common_board() -> None:
    tracks = ("--track", "digits-resnet18", "--track", "digits-no-retain")
    for command in (("leaderboard", "--overall"), ("findings",)):
        result = run(*command, *tracks)
        assert result.exit_code == 2 and "different access tiers" in result.stderr


def test_findings_count_first_groups_over_the_tracks_on_which_a_method_stands() -> None:
    first = pd.DataFrame({"state": "ok", "group_retdev": ["G1", "G1", "G2"]}, index=["ct", "ft", "ga"])
    boards = [TrackBoard(None, rows, {}) for rows in (first, first.drop("ft").assign(group_retdev="G1"))]  # type: ignore[arg-type]
    assert findings.first_group(boards, ["retdev"]) == {(2, 2): ["ct"], (1, 2): ["ga"], (1, 1): ["ft"]}


def test_findings_name_what_differs_between_two_tracks_and_who_moves(two: OverallBoard) -> None:
    first, second = two.comparison.boards
    (change,) = findings.changes(first, [second], ("retdev",))
    assert change.track == "mnist-resnet18" and "data set: cifar10 → mnist" in change.differs
    assert change.order["retdev"].methods == 17, "neither cf_k nor reference rows"
    letters = [board.letters("retdev") for board in two.comparison.boards]
    assert all(letters[0][name] == a and letters[1][name] == b for name, a, b in change.moved["retdev"])


def test_findings_say_which_costly_attack_finds_what_cheap_ones_do_not() -> None:
    noise = np.array([-0.01, 0.0, 0.01, 0.0])

    def read(umia: float, ulira: float) -> tuple[Reading, ...]:
        values = {"U-MIA": umia, "U-LiRA": ulira}
        sides = {title: (0.5 + value + noise, 0.5 + noise[::-1], 0.8 + noise) for title, value in values.items()}
        return tuple(Reading(title, "seed", *arrays) for title, arrays in sides.items())

    evidence = {"clean": read(0.0, 0.0), "sly": read(0.0, 0.15), "plain": read(0.15, 0.15)}
    panel = [PanelResult(name, "", readings) for name, readings in evidence.items()]
    results = Results(None, {}, pd.DataFrame(), {}, panel, {}, {}, {}, {})  # type: ignore[arg-type]
    rows = pd.DataFrame({"state": "ok", "group_forgetting": ["G1", "G2", "G2"]}, index=["clean", "sly", "plain"])
    seen = findings.cheap_attacks(TrackBoard(results, rows, {}))
    assert (seen.attacks, seen.costly, seen.methods) == (("U-MIA",), ("U-LiRA",), 3)
    assert seen.passed == ("clean", "sly")
    (unseen,) = seen.unseen
    assert unseen.method == "sly" and [round(share.value, 2) for share in unseen.found] == [0.5]


def test_every_finding_ends_with_the_command_behind_it(two: OverallBoard) -> None:
    lines = findings_text.page(two.comparison.boards).splitlines()
    said = [line for line in lines if line.startswith("* ")]
    assert len(said) > 12 and all(line.endswith("`)") and "(`bench " in line for line in said)
    assert any(line.startswith("* From cifar10-resnet18 to mnist-resnet18 (data set: ") for line in said)
