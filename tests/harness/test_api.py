"""``import unlearn_bench``: the library of a notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import unlearn_bench
from tests.harness.conftest import run
from unlearn_bench.harness import api

HEAVY = {"torch", "numpy", "pandas", "scipy", "sklearn", "docker", "click", "rich"}


def test_the_import_is_light_and_shows_what_there_is() -> None:
    program = (
        "import sys, unlearn_bench\n"
        f"heavy = {HEAVY} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'evaluate' in dir(unlearn_bench)\n"
        "assert unlearn_bench.tracks()\n"
        "heavy = {'torch', 'pandas', 'click'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_it_is_the_api_and_nothing_else() -> None:
    assert unlearn_bench.__all__ == api.__all__
    for name in api.__all__:
        assert getattr(unlearn_bench, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="'unlearn_bench' has no attribute 'nonsense'"):
        _ = unlearn_bench.nonsense


def test_what_is_stored_is_what_the_commands_print() -> None:
    rows = json.loads(run("leaderboard", "--format", "json").stdout)["rows"]
    board = unlearn_bench.board()
    assert list(board["entry"]) == [row["entry"] for row in rows] and board.attrs == {}
    shown = unlearn_bench.show("ft")
    assert len(shown.records) == json.loads(run("show", "ft", "--json").stdout)["row"]["seeds_ok"] == 10
    compared = json.loads(run("compare", "ft", "ga", "salun", "--json").stdout)["tests"]
    table = unlearn_bench.compare("ft", "ga", "salun")
    assert list(table["p_holm"]) == [each["p_holm"] for each in compared] and len(table) > 20
    by_seed = unlearn_bench.seed_rows().groupby("entry")["retdev"].mean()
    assert by_seed["ft"] == pytest.approx(board.set_index("entry").loc["ft", "retdev"])
    assert unlearn_bench.references().missing() == []


def test_a_submission_is_checked_and_run(small: Path, prepared: object, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def unlearn(model, retain, forget, val, *, lr=0.1):\n    return model\n")
    assert unlearn_bench.check(path).defaults == {"lr": 0.1}
    options = unlearn_bench.RunOptions(sandbox="process")
    result = unlearn_bench.evaluate(path, str(small), options, parameters={"lr": 0.2})
    assert result.failure is None and result.listed and result.entry.overrides == {"lr": 0.2}
    assert {seed: record.status for seed, record in result.records.items()} == {0: "ok", 1: "ok"}
    path.write_text("def unlearn(model, retain, forget, val):\n    raise ValueError('no')\n")
    failure = unlearn_bench.evaluate(path, str(small), sandbox="process").failure
    assert failure is not None and failure.exit_code == 11 and "ValueError: no" in failure.message


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("load_track", ("nowhere",), "there is no track 'nowhere'"),
        ("check", ("nowhere.py",), "nowhere.py"),
        ("show", ("nobody",), "nobody"),
        ("run_baselines", (["nobody"],), "there is no baseline 'nobody'"),
    ],
)
def test_errors_are_plain_exceptions(name: str, arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(unlearn_bench.BenchError, match=words):
        getattr(unlearn_bench, name)(*arguments)
