"""A method that cannot work on the track's network: said in one sentence, and no F, wherever the board is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.harness.conftest import run
from tests.harness.test_own_network import track_file
from unlearn_bench.harness.references.references import References

SENTENCE = "the network has no attention that could be pruned"
UNFIT = f"""
from sandbox.toolkit import NotApplicable

def unlearn(model, retain, forget, val):
    raise NotApplicable("{SENTENCE}")
"""


@pytest.fixture
def unfit(tmp_path: Path) -> Path:
    path = tmp_path / "unfit.py"
    path.write_text(UNFIT)
    return path


def test_a_method_that_does_not_apply_stands_so_on_every_form_of_the_board(
    prepared: References, small: Path, unfit: Path, tmp_path: Path
) -> None:
    track = ("--track", str(small))
    submitted = run("submit", str(unfit), *track, "--sandbox", "process")
    assert submitted.exit_code == 16, submitted.output
    assert f"unfit, seed 0: not-applicable: {SENTENCE}" in submitted.stderr
    assert submitted.stdout.splitlines()[-1] == f"not applicable: {SENTENCE} · 0/2 seeds ok"

    row = pd.read_csv(io.StringIO(run("leaderboard", *track, "--format", "csv").stdout)).set_index("entry").loc["unfit"]
    assert (row["state"], row["reason"], row["F"]) == ("not applicable", SENTENCE, 0)
    assert pd.isna(row["group_retdev"]) and pd.isna(row["position"])
    rows = json.loads(run("leaderboard", *track, "--format", "json").stdout)["rows"]
    assert [each["reason"] for each in rows if each["state"] == "not applicable"] == [SENTENCE]
    assert f"unfit not applicable: {SENTENCE}" in run("leaderboard", *track).stdout
    for form in ("markdown", "latex"):
        assert "unfit (not applicable)" in run("leaderboard", *track, "--format", form).stdout
    assert run("leaderboard", *track, "--format", "html", "--out", str(tmp_path / "site")).exit_code == 0
    pages = "".join(path.read_text() for path in (tmp_path / "site").rglob("*.html"))
    assert f'title="{SENTENCE}">not applicable</b>' in pages and f"no position: not applicable: {SENTENCE}" in pages


WITHOUT_A_HEAD = """
from torch import nn

def build(classes, channels, image_size):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, classes, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
"""


@pytest.mark.slow
def test_baselines_that_do_not_apply_are_no_failure_of_the_command(tmp_path: Path) -> None:
    track = ("--track", str(track_file(tmp_path, WITHOUT_A_HEAD)))
    result = run("baselines", "ft", "srl", *track, "--sandbox", "process")
    assert result.exit_code == 0, result.output
    why = "the network has no linear layer or 1×1 convolution as its classifier"
    assert f"srl not applicable: {why}" in " ".join(result.stdout.split())
