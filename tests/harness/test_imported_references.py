"""Models that a plain PyTorch script trained, as docs/checkpoints.md has it: imported, scored, and on a board."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.harness.conftest import once, run
from unlearn_bench.harness.references import model_files
from unlearn_bench.harness.references.manifest import StoredModel
from unlearn_bench.harness.references.plausibility import doubt
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import board
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.scoring.accuracy import Accuracies
from unlearn_bench.scoring.retention import retention

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
IMPORT = ["references", "import", "mine.toml", "--originals", "originals", "--retrained", "retrained"]


@dataclass(frozen=True)
class Client:
    """The folder of somebody who has followed the page up to the import."""

    accuracies: dict[str, list[dict[str, float]]]
    """By folder of checkpoints and seed, as the script itself has measured them."""
    commands: list[list[str]]
    """The page's last ones: import, score, leaderboard."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


@pytest.fixture(scope="session")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's script has trained and the track is written; to be copied, not changed."""

    def make(place: Path) -> None:
        work = place / "work"
        work.mkdir()
        for program in blocks("python"):
            assert "unlearn_bench" not in program
            (work / program.splitlines()[0].removeprefix("# ")).write_text(program)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(work)
            patch.syspath_prepend(work)
            patch.setenv("BENCH_DATA", str(work))
            runpy.run_path("train.py", run_name="__main__")
            result = run("tracks", "new", "images.toml", "--data", "images.npz")
            assert result.exit_code == 0, result.output
        (heredoc,) = re.findall(r"^cat > mine.toml <<END\n(.*?)^END$", blocks("bash")[0], re.S | re.M)
        digest = re.compile(r"\$\(sha256sum (\S+) \| cut -c 1-64\)")
        text = digest.sub(lambda found: hashlib.sha256((work / found[1]).read_bytes()).hexdigest(), heredoc)
        (work / "mine.toml").write_text(text)

    return once(tmp_path_factory, "followed-checkpoints", make).parent / "work"


@pytest.fixture
def client(followed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    shutil.copytree(followed, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "work"))
    lines = blocks("bash")[0].partition("\nEND\n")[2].splitlines()
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    return Client(json.loads(Path("accuracies.json").read_text()), commands)


def opened() -> References:
    return References(load_track("mine.toml"), Store())


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_the_numbers_of_a_board_are_those_of_the_script_that_trained(client: Client) -> None:
    assert [command[0] for command in client.commands] == ["references", "score", "leaderboard"]
    outputs = [run(*command) for command in client.commands]
    assert [output.exit_code for output in outputs] == [0, 0, 0], outputs[-1].output + outputs[0].output
    own = client.accuracies
    rows = board.rows(opened()).set_index(["entry", "seed"])
    folders = {"finetuned": "finetuned", "original": "originals", "retrain": "retrained"}
    for (entry, seed), row in rows.iterrows():
        expected = own[folders[entry]][seed]
        assert [row[name] for name in ("ra", "fa", "va", "ta")] == list(expected.values()), (entry, seed)
        against = own["retrained"][seed]
        assert row["retdev"] == retention(Accuracies(**expected), Accuracies(**against)).retdev
    assert f"{own['again'][2]['test']:.4f}" in outputs[0].stdout
    (row,) = board.board(opened()).query("entry == 'finetuned'").to_dict("records")
    assert (row["badge"], row["hardware"], row["seeds_ok"]) == ("self-reported", "", 3)
    assert np.isnan(row["rte"]) and not np.isnan(row["umia"])
    text = outputs[-1].stdout
    assert "finetuned°" in text and "° self-reported" in text and "declared" not in text
    assert "imported, trained by A. Author" in text and "null (a second retrained model): " in text
    public = run("leaderboard", "--track", "mine.toml", "--public", "--format", "json")
    (listed,) = [row for row in json.loads(public.stdout)["rows"] if row["entry"] == "finetuned"]
    assert (listed["state"], listed["position"]) == ("self-reported", None)
    assert "there is no program to run again" in refused("verify", "finetuned", "--track", "mine.toml", "--seed", "0")


def test_a_declared_time_gives_a_speed_that_is_shown_as_declared(client: Client) -> None:
    assert run(*client.commands[0]).exit_code == 0
    times = ["--seconds", "2", "--retrain-seconds", "30"]
    result = run("score", "finetuned", "--track", "mine.toml", "--name", "mine", *times)
    assert result.exit_code == 0, result.output
    assert "RTE is what its author declared" in " ".join(result.stdout.split())
    (row,) = board.board(opened()).query("entry == 'mine'").to_dict("records")
    assert row["rte"] == pytest.approx(15.0)
    assert "declared by the author" in run("show", "mine", "--track", "mine.toml").stdout
    assert "of one machine" in refused("score", "finetuned", "--track", "mine.toml", "--seconds", "2")


def test_without_a_second_retrained_model_the_board_has_no_null_and_stands(client: Client, tmp_path: Path) -> None:
    assert run(*IMPORT).exit_code == 0
    assert opened().missing() == [], "none is trained beside imported models"
    (Path("finetuned") / "seed2.pt").unlink()
    partial = run("score", "finetuned", "--track", "mine.toml")
    assert partial.exit_code == 0 and "2/3 seeds" in partial.stdout, partial.output
    text = run("leaderboard", "--track", "mine.toml").stdout
    assert "no second retrained model: no null" in text
    assert "imported; who trained them is not recorded" in text
    details = json.loads(run("show", "finetuned", "--track", "mine.toml", "--json").stdout)
    assert {number["null"] for number in details["panel"]} == {None}
    assert run("show", "finetuned", "--track", "mine.toml").exit_code == 0
    assert run("rescore", "--track", "mine.toml").exit_code == 0
    site = run("leaderboard", "--track", "mine.toml", "--format", "html", "--out", str(tmp_path / "site"))
    assert site.exit_code == 0, site.output
    pages = "".join(page.read_text() for page in (tmp_path / "site").rglob("*.html"))
    assert "for want of a second retrained model" in pages and "self-reported" in pages
    assert "swap/0 is not among them" in refused("prepare", "mine.toml", "--swap")
    assert "were imported" in refused("audit", "ct", "--track", "mine.toml")
    added = run("references", "import", "mine.toml", "--null", "again")
    assert added.exit_code == 0, added.output
    assert "null (a second retrained model): " in run("leaderboard", "--track", "mine.toml").stdout
    assert "entries have run on original/0" in refused(*IMPORT[:3], "--originals", "retrained")


def test_an_exported_track_can_be_imported_again(client: Client) -> None:
    assert run(*IMPORT).exit_code == 0
    result = run("references", "export", "mine.toml", "--out", "there")
    assert result.exit_code == 0, result.output
    with np.load("there/splits.npz") as splits:
        assert splits["forget"].shape == (3, 200)
        assert splits["forget"][1].tolist() == opened().examples.parts(1)["forget"].tolist()
    before = opened().logits(Role("original", 1))
    text = Path("mine.toml").read_text().replace("[recipe]\n", "[recipe]\nseed = 77\n")
    Path("again.toml").write_text(text)
    folders = ["--originals", "there/original", "--retrained", "there/retrained"]
    again = run("references", "import", "again.toml", *folders)
    assert again.exit_code == 0, again.output
    after = References(load_track("again.toml"), Store()).logits(Role("original", 1))
    assert np.array_equal(before, after)
    listed = json.loads(run("references", "list", "again.toml", "--json").stdout)
    assert listed["original/1"]["file"] == "1.safetensors"


def test_imported_models_are_published_with_who_trained_them(client: Client, tmp_path: Path) -> None:
    assert run(*IMPORT, "--trained-by", "A. Author").exit_code == 0
    published = run("prepare", "mine.toml", "--verify", "--publish", str(tmp_path / "public"))
    assert published.exit_code == 0, published.output
    elsewhere = {"BENCH_HOME": str(tmp_path / "elsewhere")}
    fetched = run("prepare", "mine.toml", "--fetch", env=elsewhere)
    assert fetched.exit_code == 0 and "6 of 6 reference models" in fetched.stdout, fetched.output
    listed = run("references", "list", "mine.toml", env=elsewhere).stdout
    assert "trained by A. Author" in listed and "file seed2.pt" in listed


@dataclass
class _Payload:
    place: str

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.place),)


def test_code_in_a_pickle_is_not_run_and_nothing_is_imported(client: Client) -> None:
    torch.save({"state_dict": _Payload("was-run")}, "retrained/seed2.pt")
    assert "nothing of it was run" in refused(*IMPORT)
    assert not Path("was-run").exists()
    assert opened().manifest.roles == {}, "neither were the files before it"


def state(folder: str = "retrained", seed: int = 2) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(f"{folder}/seed{seed}.pt", weights_only=True)["state_dict"]
    return content


def test_models_of_another_network_and_broken_ones_are_refused_by_name(client: Client) -> None:
    good, target = state(), Path("retrained/seed2.pt")

    def complaint(content: object) -> str:
        torch.save(content, target)
        return refused(*IMPORT)

    assert "has no 4.bias" in complaint({name: tensor for name, tensor in good.items() if name != "4.bias"})
    assert "has extra.weight, which the network does not" in complaint(good | {"extra.weight": torch.ones(2)})
    assert "1.weight has shape [100, 64], the track's network [128, 64]" in complaint(
        good | {"1.weight": torch.ones(100, 64)}
    )
    assert "not finite" in complaint(good | {"4.bias": torch.full((10,), torch.nan)})
    assert "near chance" in complaint(good | {"4.weight": torch.zeros(10, 128)})
    assert "holds no weights by name" in complaint([1, 2])
    target.write_bytes(b"not a checkpoint")
    assert "retrained/seed2.pt" in refused(*IMPORT)
    shutil.copy("originals/seed2.pt", target)
    assert "are the same file, as original/2 and retrained/2" in refused(*IMPORT)
    assert opened().manifest.roles == {}


@pytest.mark.parametrize(
    ("role", "forget", "doubtful"),
    [
        ("original", 0.99, False),
        ("original", 0.82, True),
        ("retrained", 0.99, True),
        ("null", 0.99, True),
        ("retrained", 0.79, False),
        ("retrained", 0.0, False),
    ],
)
def test_a_model_that_has_learnt_f_or_not_against_its_role_is_doubted(role: Any, forget: float, doubtful: bool) -> None:
    assert bool(doubt(Role(role, 0), Accuracies(1.0, forget, 0.8, 0.8), 200)) == doubtful
    assert not doubt(Role(role, 0), Accuracies(0.99, forget, 0.98, 0.98), 200), "R and T hardly differ"


def test_a_row_of_checkpoints_needs_finite_models_reference_models_and_a_name_of_its_own(client: Client) -> None:
    assert "original/0 of mine is not stored" in refused("score", "finetuned", "--track", "mine.toml")
    assert run(*IMPORT).exit_code == 0
    taken = refused("score", "finetuned", "--track", "mine.toml", "--name", "scrub")
    assert "scrub is the name of a shipped method" in taken
    torch.save(state("finetuned", 1) | {"4.bias": torch.full((10,), torch.inf)}, "finetuned/seed1.pt")
    assert "finetuned/seed1.pt" in refused("score", "finetuned", "--track", "mine.toml")
    assert "finetuned" not in run("leaderboard", "--track", "mine.toml").stdout


@pytest.mark.parametrize(
    ("wrap", "ending"),
    [
        (lambda s: {f"module.{name}": tensor for name, tensor in s.items()}, ".pth"),
        (lambda s: {"model": {f"_orig_mod.module.{name}": tensor for name, tensor in s.items()}, "lr": 0.1}, ".ckpt"),
        (
            lambda s: {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in s.items()},
            ".pt",
        ),
        (lambda s: {name: tensor for name, tensor in s.items() if "num_batches" not in name}, ".pt"),
        (lambda s: s, ".safetensors"),
    ],
)
def test_common_forms_of_checkpoints_are_read(wrap: Any, ending: str, client: Client) -> None:
    content, path = wrap(state()), Path(f"again{ending}")
    if ending == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    weights = model_files.read(path, model_files.network_layout(load_track("mine.toml")))
    for name, tensor in state().items():
        if "num_batches" not in name:
            assert np.array_equal(weights[name], tensor.numpy())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0.pt", "2.pt"], "no checkpoint of seed 1"),
        (["0.pt", "seed0_epoch30.pt", "1.pt", "2.pt"], "both of seed 0"),
        (["0.pt", "1.pt", "resnet18.pt"], "resnet18.pt names no model seed"),
        (["notes.txt"], "has no checkpoints"),
    ],
)
def test_files_are_told_apart_by_the_seed_in_their_names(names: list[str], message: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(BenchError, match=message):
        model_files.by_seed(tmp_path, 3)


def test_shadow_models_are_told_apart_by_split_and_forget_set(tmp_path: Path) -> None:
    for name in ("0.pt", "0-0.pt", "0-1.pt", "shadow_1.pt", "shadow_1_0.pt"):
        (tmp_path / name).touch()
    with pytest.raises(BenchError, match="missing: split 1 without forget set 1"):
        model_files.by_shadow_split(tmp_path, 2, 2)
    (tmp_path / "1-1.pt").touch()
    files = model_files.by_shadow_split(tmp_path, 2, 2)
    assert files[1, 0].name == "shadow_1_0.pt" and files[0, None].name == "0.pt" and len(files) == 6


def test_a_track_whose_models_the_benchmark_trained_takes_no_others(client: Client) -> None:
    opened().keep(Role("null", 0), StoredModel(weights=None, logits="0" * 64))
    assert "1 reference models that the benchmark trained, such as null/0" in refused(*IMPORT)
