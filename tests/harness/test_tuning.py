"""Tuning: the paper's objective, equal budgets, bad trials, resumption, and who picks the choice up."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.data import splits
from unlearn_bench.harness.entries.entry import baseline, baseline_names, read
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results.board import board
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.tracks.loading import load_track, track_names
from unlearn_bench.harness.units import tuning, unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit, Unit

PICKY = '''
"""Fine-tune, but not with every learning rate."""
import time
import torch

SEARCH_SPACE = {"lr": ("log", 1e-4, 1e-1), "epochs": ("int", 1, "max_epochs"), "way": ("choice", ("sgd", "wait"))}

def unlearn(model, retain, forget, val, *, lr=0.01, epochs=1, way="sgd"):
    if lr > 0.02:
        raise ValueError("too fast")
    if way == "wait":
        time.sleep(60)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for images, labels in retain:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
'''


def default_track() -> tuple[References, Unit]:
    track = load_track("digits-resnet18")
    return References(track, Store()), SeedUnit(baseline("ft"), track, 0)


@pytest.fixture
def picky(tmp_path: Path) -> Path:
    path = tmp_path / "picky.py"
    path.write_text(PICKY)
    return path


def test_the_retrained_model_itself_has_nothing_left_to_gain_but_its_own_mia() -> None:
    references, unit = default_track()
    retrained = tuning.losses(references, unit, references.logits(Role("retrained", 0)), "paper")
    assert (retrained.retain, retrained.forget, retrained.val) == (0, 0, 0)
    original = tuning.losses(references, unit, references.logits(Role("original", 0)), "paper")
    assert original.total > retrained.total + 0.2
    assert original.forget == pytest.approx((0.998 - 0.796) / 3, abs=0.05), "a third of the gap in accuracy"
    assert original.total <= tuning.WORST


def test_where_a_part_of_a_class_is_forgotten_it_is_compared_with_its_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threes and eights are one class. Who is right on eights alone has forgotten the threes and gives nothing away."""
    track = load_track("digits-subclass")
    references = References(track, Store())
    logits = np.random.default_rng(0).normal(size=(1797, 5)).astype(np.float32)
    logits[references.examples.subclasses == 8, 3] += 20
    monkeypatch.setattr(References, "logits", lambda self, role: logits)
    found = tuning.losses(references, SeedUnit(baseline("ft"), track, 0), logits, "oracle-free")
    assert found.val_mia < 0.3, "eights among the unseen ones would be told from F at sight"


def test_the_oracle_free_objective_reads_no_retrained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    references, unit = default_track()
    logits = {kind: references.logits(Role(kind, 0)) for kind in ("original", "retrained")}  # type: ignore[arg-type]
    read_logits = References.logits

    def guarded(self: References, role: Role) -> object:
        assert role.kind == "original"
        return read_logits(self, role)

    monkeypatch.setattr(References, "logits", guarded)
    original, retrained = (tuning.losses(references, unit, z, "oracle-free").total for z in logits.values())
    assert retrained < original - 0.2, "it prefers forgetting without having seen the oracle"


@pytest.mark.slow
def test_bad_trials_are_kept_and_the_choice_is_picked_up(prepared: References, small: Path, picky: Path) -> None:
    small.write_text(small.read_text().replace("deadline_floor = 6", "deadline_floor = 2"))
    command = ["tune", str(picky), "--track", str(small), "--trials", "6", "--sandbox", "process", "--json"]
    result = run(*command)
    assert "sandbox process: " in result.stderr
    assert result.exit_code == 0, result.output
    (summary,) = json.loads(result.stdout)
    assert summary["trials"] == 6
    assert summary["failed_trials"] > 0, "some learning rates are refused"
    assert summary["seeds"] == [0, 1, 2], "splits of its own"
    assert summary["late_gain"] is not None
    assert summary["cpu_seconds"] > 0
    assert "trial 0: " in result.stderr and "crash" in result.stderr
    assert summary["parameters"]["lr"] <= 0.02 and summary["parameters"]["way"] == "sgd"

    track = load_track(str(small))
    study = tuning.Study(References(track, prepared.store), read(picky))
    assert dict(study.trials()[0].parameters) == {"lr": 0.01, "epochs": 1, "way": "sgd"}, "the defaults come first"
    assert study.late_gain() == pytest.approx(summary["late_gain"], abs=1e-6)
    failed = [trial for trial in study.trials() if "ok" not in trial.statuses]
    assert all(trial.loss == tuning.WORST for trial in failed)
    again = run(*command)
    assert "trial" not in again.stderr, "finished trials are not run again"

    chosen = tuning.tuned(read(picky), track, prepared.store)
    assert {**chosen.defaults, **chosen.overrides} == summary["parameters"]
    picky.write_text(PICKY + "# changed\n")
    assert tuning.tuned(read(picky), track, prepared.store).overrides == {}, "tuned for another source"


def test_an_entry_without_a_search_space_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plain.py"
    path.write_text("def unlearn(model, retain): ...\n")
    result = run("tune", str(path))
    assert result.exit_code == 2
    assert "declares no SEARCH_SPACE" in result.stderr
    assert "to train" not in result.stderr, "it ends before anything is trained"


@pytest.mark.slow
def test_a_search_reads_nothing_that_is_scored(
    prepared: References, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = roles_read(monkeypatch)
    result = run("tune", "ft", "--track", str(small), "--trials", "2", "--json")
    assert result.exit_code == 0, result.output
    assert {role.kind for role in asked} == {"tuning-retrained"}
    examples, number_of_seeds = prepared.examples, prepared.track.protocol.seeds
    scored = [set(examples.parts(seed)["forget"].tolist()) for seed in range(number_of_seeds)]
    own = [set(examples.tuning_parts(role.seed)["forget"].tolist()) for role in asked]
    assert all(forget not in scored for forget in own)


@pytest.mark.parametrize("rule", ["per-seed", "fixed", "paper"])
def test_tuning_splits_differ_from_the_scored_one_under_every_rule(rule: Literal["per-seed", "fixed", "paper"]) -> None:
    track = load_track("digits-resnet18")
    sizes = replace(track.splits, rule=rule)
    if rule == "paper":
        sizes = replace(sizes, retain=1099, forget=123, val=216, test=359)
    track = replace(track, splits=sizes)
    scored, first, second = (
        splits.split(track, 0, 1797, 0),
        splits.tuning_split(track, 0, 1797, 0),
        splits.tuning_split(track, 1, 1797, 0),
    )
    for part in ("forget", "val"):
        together = [frozenset(getattr(each, part).tolist()) for each in (scored, first, second)]
        assert len(set(together)) == 3, part


@pytest.mark.parametrize("name", [name for name in track_names() if name.startswith("digits-")])
def test_tuning_splits_of_a_track_are_as_large_as_the_scored_ones(name: str, home: Path) -> None:
    track = load_track(name)
    examples = References(track, Store()).examples
    scored, *drawn = (
        examples.parts(0),
        *(examples.tuning_parts(number) for number in range(track.analysis.tuning_seeds)),
    )
    for parts in drawn:
        assert {part: len(indices) for part, indices in parts.items()} == {k: len(v) for k, v in scored.items()}
    for part in ("forget", "val"):
        together = {frozenset(parts[part].tolist()) for parts in (scored, *drawn)}
        assert len(together) == 1 + len(drawn), part


def roles_read(monkeypatch: pytest.MonkeyPatch) -> list[Role]:
    """Collect the reference models whose logits are read from here on."""
    asked: list[Role] = []
    read_logits = References.logits

    def noted(self: References, role: Role) -> object:
        asked.append(role)
        return read_logits(self, role)

    monkeypatch.setattr(References, "logits", noted)
    return asked


@pytest.mark.slow
def test_a_search_for_shadow_units_reads_nothing_that_is_scored(
    prepared: References, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = roles_read(monkeypatch)
    result = run("tune", "ft", "--track", str(small), "--trials", "2", "--role", "shadow", "--json")
    assert result.exit_code == 0, result.output
    assert "without a sandbox" in result.stderr, "a shipped file's source is known"
    (summary,) = json.loads(result.stdout)
    splits = prepared.track.protocol.lira_splits
    assert summary["setting"] == "shadow" and summary["seeds"] == [splits, splits + 1, splits]
    assert {role.kind for role in asked} == {"shadow-retrained"}
    assert all(role.seed >= splits for role in asked)
    chosen = tuning.tuned(baseline("ft"), prepared.track, prepared.store, "shadow")
    assert {**chosen.defaults, **chosen.overrides} == {**chosen.defaults, **summary["parameters"]}
    assert tuning.tuned(baseline("ft"), prepared.track, prepared.store).overrides == {}, "not for seed units"


@pytest.mark.docker
def test_a_foreign_entry_is_tuned_in_containers(prepared: References, small: Path, picky: Path) -> None:
    picky.write_text(PICKY.replace('("sgd", "wait")', '("sgd",)'))
    result = run("tune", str(picky), "--track", str(small), "--trials", "2", "--sandbox", "docker", "--json")
    assert result.exit_code == 0, result.output
    assert "sandbox docker: " in result.stderr
    assert json.loads(result.stdout)[0]["trials"] == 2


@pytest.mark.slow
def test_a_method_that_was_tuned_without_retrained_models_has_a_row_of_its_own(
    prepared: References, small: Path
) -> None:
    """The row takes no part in where groups are cut, and the ordinary one keeps its parameters."""
    searched = run("tune", "ft", "--track", str(small), "--trials", "1", "--objective", "oracle-free", "--json")
    assert searched.exit_code == 0, searched.output
    other = {**json.loads(searched.stdout)[0], "parameters": {"lr": 0.05, "epochs": 2}}
    prepared.store.write("tuned/small/oracle-free", "ft", other)
    result = run("baselines", "ft", "ft.oracle-free", "--track", str(small), "--sandbox", "process")
    assert result.exit_code == 0, result.output
    rows = board(References(load_track(str(small)), prepared.store)).set_index("entry")
    assert rows["kind"][["ft", "ft.oracle-free"]].tolist() == ["baseline", "variant"]
    shown = json.loads(run("show", "ft.oracle-free", "--track", str(small), "--json").stdout)
    assert shown["search"]["objective"] == "oracle-free"
    assert json.loads(run("show", "ft", "--track", str(small), "--json").stdout)["search"] is None


def test_a_variant_without_a_search_is_asked_for(small: Path) -> None:
    result = run("baselines", "ft.oracle-free", "--track", str(small))
    assert result.exit_code == 2
    assert "--objective oracle-free" in result.stderr


METHODS = [name for name in baseline_names() if baseline(name).search_space]


CHOICES = sorted(tuning.TUNED.rglob("*.json"))


@pytest.mark.parametrize("folder", sorted({path.parent for path in CHOICES}), ids=lambda path: path.name)
def test_on_a_track_every_method_that_applies_is_tuned_or_none(folder: Path, home: Path) -> None:
    # after a change of a method: bench tune NAME --track TRACK --export baselines/tuned
    track = load_track(folder.relative_to(tuning.TUNED).parts[0])
    unfit = {each.name for each in unit_store.seed_records(Store(), track) if each.status == "not-applicable"}
    assert not unfit or track.protocol.access != "full", "every method applies where nothing is withheld"
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(set(METHODS) - unfit)


@pytest.mark.parametrize("path", CHOICES, ids=[str(path.relative_to(tuning.TUNED)) for path in CHOICES])
def test_every_method_is_tuned_by_the_same_rule(path: Path) -> None:
    track, entry = load_track(path.relative_to(tuning.TUNED).parts[0]), baseline(path.stem)
    summary = json.loads(path.read_text())
    assert summary["sha256"] == entry.sha256
    assert (summary["trials"], len(summary["seeds"])) == (tuning.budget(entry, track), track.analysis.tuning_seeds)
    assert summary["objective"] == ("oracle-free" if path.parent.name == "oracle-free" else "paper")


@pytest.mark.parametrize("name", METHODS)
def test_a_shipped_choice_counts_on_its_own_track_alone(name: str) -> None:
    entry, track = baseline(name), load_track("digits-resnet18")
    summary = json.loads((tuning.TUNED / track.name / f"{name}.json").read_text())
    chosen = tuning.tuned(entry, track, Store())
    assert {**chosen.defaults, **chosen.overrides} == {**chosen.defaults, **summary["parameters"]}
    assert tuning.tuned(entry, load_track("cifar100-tinyvit"), Store()).overrides == {}, "defaults elsewhere"


def shipped_choice(name: str) -> dict[str, Any]:
    """A choice as a version without format numbers stored it."""
    document: dict[str, Any] = json.loads((tuning.TUNED / "digits-resnet18" / f"{name}.json").read_text())
    return document


def test_a_choice_with_keys_of_a_newer_version_is_read() -> None:
    store, track, ft = Store(), load_track("digits-resnet18"), baseline("ft")
    store.write(f"tuned/{track.name}", "ft", {**shipped_choice("ft"), "converged": True, "parameters": {"lr": 0.5}})
    assert tuning.tuned(ft, track, store).overrides == {"lr": 0.5}


@pytest.mark.parametrize("key", ["sha256", "parameters", "seeds"])
def test_a_choice_without_a_key_is_damaged_and_named(key: str) -> None:
    store, track = Store(), load_track("digits-resnet18")
    document = shipped_choice("ft")
    del document[key]
    store.write(f"tuned/{track.name}", "ft", document)
    with pytest.raises(StoreError, match=rf"(?s)tuned/digits-resnet18/ft\.json.*{key}"):
        tuning.choice("ft", baseline("ft").sha256, track, store)


def test_a_board_marks_a_row_whose_search_has_not_converged() -> None:
    Store().write("tuned/digits-resnet18", "ft", {**shipped_choice("ft"), "late_gain": 0.02})
    forms = ("table", "markdown", "latex")
    table, markdown, tex = (run("leaderboard", "--format", form).stdout for form in forms)
    assert "& ft$^{s}$ &" in tex and "$s$: its search has not converged" in tex
    (row,) = [line for line in table.splitlines() if " ft" in line]
    assert "ft^" in row and "^ its search for parameters has not converged" in table
    (row,) = [line for line in markdown.splitlines() if "| ft" in line]
    assert "| ft (search not converged)" in row


def test_parameters_that_no_search_chose_are_not_marked() -> None:
    choice = {**shipped_choice("ft"), "late_gain": 0.02}
    Store().write("tuned/digits-resnet18", "ft", {**choice, "parameters": {**choice["parameters"], "lr": 0.5}})
    assert "ft^" not in run("leaderboard").stdout


def test_a_choice_for_an_older_source_does_not_hide_the_shipped_one() -> None:
    store, track = Store(), load_track("digits-resnet18")
    store.write(f"tuned/{track.name}", "ft", {**shipped_choice("ft"), "sha256": "other", "parameters": {"lr": 1.0}})
    assert tuning.tuned(baseline("ft"), track, store).overrides.get("lr") != 1.0
    assert tuning.choice("ft", baseline("ft").sha256, track, store) is not None


@pytest.mark.slow
def test_a_killed_search_goes_on_with_the_trial_that_was_running(
    prepared: References, small: Path, picky: Path, program: str
) -> None:
    picky.write_text(PICKY.replace('("sgd", "wait")', '("sgd",)').replace("too fast", "x").replace("0.02", "1"))
    command = ["tune", str(picky), "--track", str(small), "--sandbox", "process"]
    process = subprocess.Popen([program, *command, "--trials", "40"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    finished = 0
    while finished < 3:
        finished += process.stderr.readline().startswith("picky trial")
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    study = tuning.Study(References(load_track(str(small)), prepared.store), read(picky))
    before = study.trials()
    assert len(before) >= 3
    assert run(*command, "--trials", str(len(before) + 2)).exit_code == 0
    after = study.trials()
    assert after[: len(before)] == before
    assert len(after) == len(before) + 2
