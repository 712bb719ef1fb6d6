"""The command line: help without torch, templates that pass, lists for scripts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.commands._verbs import verb
from unlearn_bench.harness.entries.entry import BASELINES, baseline_names
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import rescoring
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.tracks.loading import load_track

VERBS = sorted(bench.list_commands(None))  # type: ignore[arg-type]


def test_help_imports_neither_torch_nor_pandas() -> None:
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom unlearn_bench.harness.cli import bench\n"
        "result = CliRunner().invoke(bench, ['--help'])\nassert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'numpy', 'pandas', 'scipy', 'sklearn', 'docker'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_help_lists_every_verb_under_its_group_and_truncates_no_line() -> None:
    groups: dict[str, dict[str, str]] = {}
    for line in run("--help", env={"COLUMNS": "80"}).stdout.partition("Options:")[2].splitlines():
        if line.endswith(":") and not line.startswith(" "):
            verbs = groups[line[:-1]] = {}
        elif groups and line.startswith("  ") and "Examples:" not in line:
            name, _, text = line.strip().partition(" ")
            verbs[name] = text.strip()
        elif "Examples:" in line:
            break
    assert list(groups) == ["Run methods", "Look at results", "Organise a competition", "Maintain this machine"]
    assert sorted(name for verbs in groups.values() for name in verbs) == VERBS
    assert groups["Run methods"]["submit"] == "Run a submission and show its place on the board"
    for name in VERBS:
        command = bench.get_command(None, name)  # type: ignore[arg-type]
        assert any(verbs.get(name) == command.short_help for verbs in groups.values()), name


def test_a_verb_of_an_unknown_group_or_with_a_long_line_is_refused_and_told_why() -> None:
    with pytest.raises(ValueError, match="use one of run, look, organise, maintain, or add one to GROUPS"):
        verb("other", "Do things", "Example: bench do")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 60 fit"):
        verb("run", "x" * 61, "Example: bench do")


def test_the_promised_verbs_are_there() -> None:
    promised = {"init", "check", "prepare", "submit", "baselines", "tune", "rescore", "show", "compare", "leaderboard"}
    assert promised | {"tracks", "doctor", "image", "clean"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"bench {verb}" in result.stdout


def test_init_writes_a_template_that_passes_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "my_method.py"
    assert run("init", str(path)).exit_code == 0
    result = run("check", str(path), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["name"] == "my_method"
    assert report["parameters"]
    assert set(report["search_space"]) <= set(report["parameters"])
    path.write_text("mine")
    assert run("init", str(path)).exit_code == 2
    assert path.read_text() == "mine"


def test_tracks_for_people_and_for_scripts() -> None:
    listed = run("tracks").stdout
    ready, training, data = (listed.index(words) for words in ("Ready:", "to be trained first", "to be fetched first"))
    assert ready < listed.index("digits-resnet18 ") < training < listed.index("digits-tinyvit ") < data
    assert "9 models × 20 epochs" in listed and data < listed.index("cifar10-resnet18 ")
    tracks = {t["name"]: t for t in json.loads(run("tracks", "--json").stdout)}
    assert tracks["cifar10-resnet18"]["protocol"]["lira_splits"] == 64
    assert len(tracks["digits-resnet18"]["reference_digest"]) == 64


def test_the_leaderboard_of_a_fresh_machine_has_its_reference_rows_and_is_deterministic(tmp_path: Path) -> None:
    first = run("leaderboard", "--format", "csv")
    assert first.exit_code == 0, first.output
    assert first.stdout == run("leaderboard", "--format", "csv").stdout
    assert run("leaderboard", "--format", "csv", "--out", str(tmp_path / "site")).exit_code == 0
    assert (tmp_path / "site" / "digits-resnet18.csv").read_text() == first.stdout
    table = run("leaderboard").stdout
    assert "null (a second retrained model)" in table
    assert [line for line in table.splitlines() if len(line) > 100] == []


def test_the_shipped_board_has_every_shipped_method_with_all_its_seeds() -> None:
    # after a change of a method: the commands in docs/store.md
    rows = json.loads(run("leaderboard", "--format", "json").stdout)["rows"]
    methods = {row["entry"]: row for row in rows}
    assert set(methods) == set(baseline_names())
    for row in rows:
        assert row["trusted"]
        assert row["seeds_ok"] == row["seeds_total"] == 10, row["entry"]
        assert row["rte"] > 0
        assert (row["position"] is None) == (row["state"] != "ok"), row["entry"]
        assert row["inconsistent"] == "" and (row["provisional"] == "") == (row["entry"] != "ga")
        assert row["ulira_low"] <= row["ulira"] <= row["ulira_high"]


def test_u_lira_catches_the_original_and_nothing_in_retrained_models() -> None:
    board = json.loads(run("leaderboard", "--format", "json").stdout)
    rows, null = {row["entry"]: row for row in board["rows"]}, board["null"]
    assert 0.48 < null["ulira_low"] < 0.495 and null["ulira_low"] + null["ulira_high"] == pytest.approx(1)
    assert rows["original"]["ulira_low"] > null["ulira_high"] + 0.15
    assert null["ulira_low"] <= rows["retrain"]["ulira"] <= null["ulira_high"]


def test_what_ships_can_be_scored_again_and_stays_small() -> None:
    references = References(load_track("digits-resnet18"), Store())
    things = rescoring.stored(references)
    methods = [name for name in baseline_names() if name not in ("original", "retrain")]
    assert len(things) == 3 * 10 + 10 * len(methods) + len(methods) + 2
    sizes = {path: path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()}
    manifests = [manifest for _, manifest in Store().all("references")]
    roles = [role for manifest in manifests for role in manifest["roles"].values()]
    models = {sha for role in roles for sha in (role["weights"], role["logits"])}
    assert sum(size for path, size in sizes.items() if path.stem not in models) < 10_000_000 * len(manifests)


def test_the_board_in_the_readme_is_the_shipped_one() -> None:
    # after a change of the board: paste the output of `bench leaderboard --format markdown`, and make the pictures
    # again: --format ulira to docs/ulira.svg, and python -m tests.screenshots
    readme = (BASELINES / "README.md").read_text()
    assert run("leaderboard", "--format", "markdown").stdout.strip() in readme


def test_a_bug_of_ours_ends_in_three_lines_and_a_log(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr("unlearn_bench.harness.tracks.loading.track_names", lambda: 1 / 0)
    result = run("tracks")
    assert result.exit_code == 20
    assert "whose:  the benchmark" in result.stderr
    log = next(line[8:] for line in result.stderr.splitlines() if line.startswith("log:"))
    assert "ZeroDivisionError" in Path(log).read_text()
