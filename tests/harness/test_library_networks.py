"""Tracks on a ViT and a ResNet50, narrowed, with real images: from training to U-LiRA, through the commands."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pandas as pd
import pytest

from tests.baselines.conftest import RESNET50
from tests.harness.conftest import run

DATA = Path(__file__).parents[1] / "data"
METHODS = ("ft", "salun", "scrub", "msg", "ct", "cf_k")
ATTACKED = ("ft", "ct")
MODELS = {
    "vit_tiny": """
name = "timm:vit_tiny_patch16_224"
patch_size = 4
embed_dim = 24
depth = 4
num_heads = 3
""",
    "resnet50": f"""
file = "resnet50.py"
sha256 = "{hashlib.sha256(RESNET50.encode()).hexdigest()}"
""",
}
TRACK = """
[data]
name = "npz"
path = "cifar10-mini.npz"
sha256 = "19941c421fcb6365cef2aec6d40431592546b9ff695de77b91970f6a133447a3"
classes = 10
image_size = 16
mean = [0.4933, 0.4838, 0.4487]
std = [0.2394, 0.2359, 0.2543]

[splits]
rule = "per-seed"
seed = 1
retain = 64
forget = 32
val = 32
test = 32

[model]
{model}
[recipe]
epochs = 3
batch_size = 32
lr = 0.01
schedule = "cosine"
seed = 1

[protocol]
seeds = 2
seed = 2
deadline_floor = 600
lira_splits = 4
lira_forget_sets = 2
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_track_on_another_network_goes_from_training_to_lira(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(DATA))
    path = tmp_path / f"{model}.toml"
    path.write_text(TRACK.format(model=MODELS[model]))
    (tmp_path / "resnet50.py").write_text(RESNET50)
    track = ("--track", str(path))

    prepared = run("prepare", str(path))
    assert "6 of 6 reference models, every file verified" in prepared.stdout, prepared.output
    for command in (
        ("submit", "submissions/shrink_perturb.py", *track, "--sandbox", "process"),
        ("baselines", *METHODS, *track, "--sandbox", "process"),
        ("baselines", *ATTACKED, *track, "--lira"),
    ):
        result = run(*command, env={"DOCKER_HOST": "unix:///nowhere"})  # containers would run the units again
        assert result.exit_code == 0, result.output
    table = run("leaderboard", *track, "--format", "csv")
    board = pd.read_csv(io.StringIO(table.stdout)).set_index("entry")
    assert set(board.index) == {*METHODS, "shrink_perturb", "retrain", "original"}
    assert (board["seeds_ok"] == 2).all() and board["retdev"].notna().all()
    assert board.loc[[*ATTACKED, "retrain", "original"], "ulira"].between(0, 1).all()
