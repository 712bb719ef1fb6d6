from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unlearn_bench.scoring.board import overall_board, track_board
from unlearn_bench.scoring.forgetting import Reading
from unlearn_bench.scoring.panel_result import PanelResult

PUBLISHED = Path(__file__).parents[2] / "harness" / "results" / "paper"
Make = Callable[..., pd.DataFrame]

METHODS = {
    "A": {"retdev": 0.01, "umia": 0.50, "rte": 20.0},
    "B": {"retdev": 0.10, "umia": 0.56, "rte": 5.0},
    "C": {"retdev": 0.50, "umia": 0.80, "rte": 1.0},
}
SEEDS = {"one": 3, "two": 2}


def attacked(**changed: float) -> list[PanelResult]:
    """What one attack finds on both tracks, where A and B change places; ``B_one``: of B on track ``one``."""
    found = {"A_one": 0.0, "B_one": 0.3, "C_one": 0.8, "A_two": 0.3, "B_two": 0.0, "C_two": 0.8, "only one_one": 0.0}
    results = []
    for key, value in (found | changed).items():
        entry, track = key.rsplit("_", 1)
        sides = (np.full(SEEDS[track], level) for level in (0.5 + 0.2 * value, 0.5, 0.7))
        results.append(PanelResult(entry, track, (Reading("U-MIA", "seed", *sides),)))
    return results


def two_tracks(make_rows: Make) -> pd.DataFrame:
    swapped = {"A": METHODS["B"], "B": METHODS["A"], "C": METHODS["C"]}
    first = make_rows({**METHODS, "only one": METHODS["A"], "Retrain": {"kind": "reference"}}, track="one")
    return pd.concat([first, make_rows({**swapped, "Retrain": {"kind": "reference"}}, track="two", seeds=2)])


def test_counts_are_summed_over_metrics_and_tracks(make_rows: Make) -> None:
    found = overall_board(two_tracks(make_rows), SEEDS, resamples=10, panel=attacked()).set_index("entry")
    assert found.index.tolist() == ["A", "B", "C", "Retrain"]
    assert found.loc["A", ["G1_retdev", "G2_retdev", "G3_retdev", "F_retdev"]].tolist() == [1, 1, 0, 0]
    assert found.loc["A", ["G1_forgetting", "G2_forgetting"]].tolist() == [1, 1]
    assert found.loc["A", ["G1", "G2", "G3", "F"]].tolist() == [3, 2, 0, 0], "speed counts on one track"
    assert found["position"].tolist() == [1, 1, 3, pd.NA]
    assert found.loc["A", "retdev"] == pytest.approx(0.055) and found.loc["A", "rte"] == pytest.approx(10.0)
    assert found["state"].tolist() == ["ranked"] * 3 + ["reference"] and (found["tracks"] == 2).all()


def test_who_lacks_a_track_stands_on_the_other_boards_only(make_rows: Make) -> None:
    rows = two_tracks(make_rows)
    assert "only one" not in set(overall_board(rows, SEEDS, resamples=10)["entry"])
    assert track_board(rows, "one", 3, resamples=10).set_index("entry").loc["only one", "position"] == 1
    unfinished = rows[~((rows["entry"] == "A") & (rows["track"] == "two") & (rows["seed"] == 1))]
    assert "A" not in set(overall_board(unfinished, SEEDS, resamples=10)["entry"])


def test_a_failure_on_one_track_is_counted_there_only(make_rows: Make) -> None:
    rows = two_tracks(make_rows)
    rows["status"] = rows["status"].mask((rows["entry"] == "B") & (rows["track"] == "one") & (rows["seed"] == 0), "oom")
    found = overall_board(rows, SEEDS, resamples=10, panel=attacked()).set_index("entry")
    assert found.loc["B", ["G1", "G2", "G3", "F"]].tolist() == [3, 0, 0, 2]


def test_who_forgets_no_better_than_original_anywhere_has_no_position(make_rows: Make) -> None:
    one, both = (
        overall_board(two_tracks(make_rows), SEEDS, resamples=10, panel=attacked(**left)).set_index("entry")
        for left in ({"B_one": 1.0}, {"B_one": 1.0, "B_two": 1.0})
    )
    assert one.loc["B", "position"] == 2 and one.loc["B", "F"] == 2
    assert both.loc["B", "state"] == "no better" and pd.isna(both.loc["B", "position"])


def test_one_track_gives_the_positions_of_its_own_board(make_rows: Make) -> None:
    rows = two_tracks(make_rows)
    columns = ["position", "position_last", "position_low", "position_high", "ahead", "G1", "G2", "G3", "F"]
    own = track_board(rows, "one", 3, panel=attacked()).set_index("entry")[columns]
    assert overall_board(rows, {"one": 3}, panel=attacked()).set_index("entry")[columns].equals(own)


def test_no_track_is_an_error(make_rows: Make) -> None:
    with pytest.raises(ValueError, match="at least one track"):
        overall_board(two_tracks(make_rows), {})


def test_table_1_from_rows_of_nine_tracks(make_rows: Make) -> None:
    """Units with the paper's group counts give the paper's counts and both printed rankings."""
    table = pd.read_csv(PUBLISHED / "table1.csv", index_col="method")
    retdev, umia = {"g1": 0.1, "g2": 0.2, "g3": 0.3}, {"g1": 0.5, "g2": 0.6, "g3": 0.7}
    anchors = {g: {"retdev": retdev[g], "umia": umia[g]} for g in retdev}
    tracks = []
    for k in range(9):
        entries = {}
        for name, row in table.iterrows():
            groups = [
                [g for g in ("g1", "g2", "g3", "f") for _ in range(row[f"{m}_{g}"])][k] for m in ("retdev", "indisc")
            ]
            own = {"status": "crash"} if "f" in groups else {"retdev": retdev[groups[0]], "umia": umia[groups[1]]}
            entries[str(name)] = {"kind": "entry", **own}
        tracks.append(make_rows({**anchors, **entries}, track=f"track {k}", seeds=2))
    found = overall_board(pd.concat(tracks), {f"track {k}": 2 for k in range(9)}, resamples=2).set_index("entry")
    found = found.loc[table.index]
    for metric in ("retdev", "indisc"):
        counts = found[[f"{letter}_{metric}" for letter in ("G1", "G2", "G3", "F")]].to_numpy()
        assert (counts == table[[f"{metric}_{g}" for g in ("g1", "g2", "g3", "f")]].to_numpy()).all()
    assert found["paper_rank_retdev"].rank(method="dense").tolist() == table["retdev_rank"].tolist()
    assert found["paper_rank_indisc"].rank(method="dense").tolist() == [
        3,
        1,
        3,
        1,
        2,
        2,
        5,
        3,
        5,
        4,
        6,
        7,
        2,
        8,
        11,
        9,
        10,
        12,
    ]
