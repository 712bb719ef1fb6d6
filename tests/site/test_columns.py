"""The board for other programs: documented columns and types, the same numbers in every form."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.harness.conftest import run
from tests.site.conftest import MADE_UP, TRACK, Built
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report import columns
from unlearn_bench.harness.results import board
from unlearn_bench.harness.store.store import Snapshot
from unlearn_bench.harness.support.text import visible
from unlearn_bench.harness.tracks.loading import load_track

DOCUMENT = Path(__file__).parents[2] / "docs" / "columns.md"


def written(stored: Built, place: Path, form: str, track: str) -> Path:
    result = run("leaderboard", "--format", form, "--track", track, "--out", str(place))
    assert result.exit_code == 0, result.output
    return next(place.glob(f"{track}.{form}"))


@pytest.mark.parametrize("track", [TRACK, MADE_UP[0]])
def test_csv_json_and_parquet_have_the_documented_columns_and_types(stored: Built, tmp_path: Path, track: str) -> None:
    csv = pd.read_csv(written(stored, tmp_path, "csv", track), dtype=columns.dtypes(), keep_default_na=True)
    parquet = pd.read_parquet(written(stored, tmp_path, "parquet", track))
    assert list(csv.columns) == list(parquet.columns) == list(columns.columns())
    for name, dtype in columns.dtypes().items():
        assert str(csv[name].dtype) == str(parquet[name].dtype) == dtype, name
    rows = json.loads(written(stored, tmp_path, "json", track).read_text())["rows"]
    names = parquet["entry"].tolist()
    assert [row["entry"] for row in rows] == names and csv["entry"].tolist() == list(map(visible, names))
    for name in ("retdev", "indisc_sd", "rte", "ulira", "position", "seeds_ok"):
        known = parquet[name].notna()
        assert csv[name].notna().equals(known) and (pd.Series([row[name] for row in rows]).notna() == known).all()
        exact = parquet[name][known].to_numpy(float)
        assert csv[name][known].to_numpy(float) == pytest.approx(exact, rel=1e-5), name
    assert parquet["group_retdev"].isin(["G1", "G2", "G3", "F"]).any()
    again = written(stored, tmp_path / "again", "parquet", track).read_bytes()
    assert again == (tmp_path / f"{track}.parquet").read_bytes()


def test_the_columns_are_documented() -> None:
    # after a change of the columns: paste unlearn_bench.harness.report.columns.documentation()
    assert columns.documentation() in DOCUMENT.read_text()


def test_the_spread_is_that_of_the_seeds(stored: Built) -> None:
    references = References(load_track(TRACK), Snapshot())
    found = board.read_results(references)
    seeds = found.rows[found.rows["entry"] == "ct"]["retdev"].astype(float)
    row = board.board(references, results=found).set_index("entry").loc["ct"]
    assert row["retdev_sd"] == pytest.approx(seeds.std(), abs=1e-12) and row["retdev_sd"] > 0.01
    assert pd.isna(row["retdev_low"]) or row["retdev_low"] < row["retdev"]
