"""Figures: ``ub.plot`` draws what the store has, and ``bench leaderboard --figures`` writes it as PDF and SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

import unlearn_bench as ub
from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report import figures
from unlearn_bench.harness.report.site import entry_plots
from unlearn_bench.harness.results import curves
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.scoring.forgetting import Share

matplotlib.use("agg")


@pytest.fixture(scope="module")
def board() -> pd.DataFrame:
    return ub.board()


def test_the_trade_off_has_a_point_per_row_and_names_them(board: pd.DataFrame) -> None:
    axes = ub.plot.trade_off(board)
    shown = board[board["retdev"].notna() & board["forgetting"].notna()]
    (points,) = axes.collections
    assert len(points.get_offsets()) == len(shown)
    names = {text.get_text() for text in axes.texts}
    assert len(names) > len(shown) / 2 and names <= set(shown["entry"])


def test_ulira_stands_best_first_beside_the_band_of_perfect_unlearners(board: pd.DataFrame) -> None:
    axes = ub.plot.ulira(board, {"ulira_low": 0.48, "ulira_high": 0.52})
    labels = [label.get_text() for label in axes.get_yticklabels()]
    attacked = board[board["ulira"].notna()].sort_values("ulira")
    assert labels == list(attacked["entry"]) and labels[0] == "kde"
    assert axes.patches[0].get_extents().width > 0


def test_every_seed_is_a_mark(board: pd.DataFrame) -> None:
    rows = ub.seed_rows()
    axes = ub.plot.seeds(rows, "retdev")
    assert sum(len(line.get_xdata()) for line in axes.lines) == (rows["status"] == "ok").sum()


def test_groups_of_several_tracks_have_a_column_each(board: pd.DataFrame) -> None:
    one, two = ub.plot.groups(board), ub.plot.groups({"a": board, "b": board})
    assert len(two.get_xticks()) == 2 * len(one.get_xticks())
    assert {text.get_text() for text in one.texts} <= {"G1", "G2", "G3", "F", "–"}


def test_curves_of_an_entry_are_drawn_beside_original_and_retrained() -> None:
    curves = ub.curves("ft")
    assert [line.get_label() for line in ub.plot.roc(curves).lines[1:]] == ["this entry", "Original", "Retrain"]
    assert len(ub.plot.losses(curves).patches) == 2


def test_losses_on_f_stand_beside_those_that_attacks_compare_them_with(home: Path) -> None:
    references = References(load_track("digits-class"), Store())
    found = curves.reference_curves(references, "retrained")
    assert found is not None
    forgotten = references.track.splits.forget_classes
    of_class = [np.isin(references.examples.labels[references.examples.parts(s)["test"]], forgotten) for s in range(5)]
    assert sum(found.test) == sum(each.sum() for each in of_class) < 400
    assert found.smallest == 1 / min(each.sum() for each in of_class)


def test_the_interval_of_an_attack_that_clears_nobody_is_dashed() -> None:
    found = [Share("U-MIA", 0.1, -0.1, 0.3), Share("RMIA", 0.1, -1.0, 1.2, clears=False)]
    assert entry_plots.panel(found).count("stroke-dasharray") == 1
    intervals = [line for line in figures.panel(found).get_lines() if line.get_color() == figures.MARK][::2]
    assert [line.get_linestyle() for line in intervals] == ["-", ":"]


def test_nothing_to_draw_is_said(board: pd.DataFrame) -> None:
    with pytest.raises(ub.BenchError, match="no row of this board has run U-LiRA"):
        ub.plot.ulira(board[board["ulira"].isna()])
    with pytest.raises(ub.BenchError, match="no seed has a value of 'speed'"):
        ub.plot.seeds(ub.seed_rows(), "speed")


@pytest.mark.slow
def test_figures_are_written_twice_with_the_same_bytes(small: Path, prepared: References, tmp_path: Path) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text("def unlearn(model, retain, forget, val):\n    return model\n")
    ub.evaluate(entry, str(small), sandbox="process")
    written = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        result = run("leaderboard", "--track", str(small), "--figures", str(folder))
        assert result.exit_code == 0, result.output
        written.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")})
    assert written[0] == written[1]
    names = {str(path) for path in written[0]}
    assert {"small/seeds-retdev.pdf", "small/entries/mine-roc.svg", "small/entries/mine-losses.pdf"} <= names
    assert written[0][Path("small/entries/mine-roc.pdf")].startswith(b"%PDF")
