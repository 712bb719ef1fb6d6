"""What probes found counts for forgetting as attacks do, and is shown beside their null and Original."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.probes import stored
from unlearn_bench.harness.probes.stored import ProbeResult
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.report import figures
from unlearn_bench.harness.results import attack_panel, board, relearning
from unlearn_bench.harness.results.board_entries import BoardEntry, board_entries
from unlearn_bench.harness.results.shipping import export_records
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import result_names

SEEDS = range(10)
NULL, ORIGINAL = 0.5, 0.9


def result(value: float, fault: str = "") -> ProbeResult:
    numbers = {} if fault else {"recall": value, "another": -value}
    return ProbeResult("linear probe", "" if fault else "recall", "recall", numbers, "0" * 64, fault=fault)


def found_of(references: References, names: dict[int, str], mean: float, fault_at: int | None = None) -> None:
    """Let a probe have found ``mean`` ± .02 of models, by seed."""
    for seed, name in names.items():
        spread = 0.02 * (-1) ** seed
        outcome = result(mean + spread, "took longer than 1 s" if seed == fault_at else "")
        stored.write(references.store, references.track, name, {"linear_probe": outcome})


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> References:
    """The default track as it ships, with what a probe found of its reference models instead of what ships of that."""
    monkeypatch.setattr(stored, "VERSION", 0)
    references = References(load_track("digits-resnet18"), Store())
    for kind, mean in (("null", NULL), ("retrained", NULL), ("original", ORIGINAL)):
        found_of(references, {seed: result_names.of_reference(references, kind, seed) for seed in SEEDS}, mean)
    return references


def test_each_version_of_the_probes_has_documents_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    track = load_track("digits-resnet18")
    before = stored.document_kind(track)
    monkeypatch.setattr(stored, "VERSION", 0)
    assert stored.document_kind(track) != before


def entry(references: References, name: str) -> BoardEntry:
    return next(each for each in board_entries(references) if each.name == name)


def keys(references: References, name: str) -> dict[int, str]:
    records = entry(references, name).records
    return {seed: result_names.of_unit(references, record) for seed, record in records.items()}


def rows(references: References) -> pd.DataFrame:
    return board.board(references).set_index("entry")


def test_a_probe_that_finds_f_names_the_row_and_the_others_are_provisional(shipped: References) -> None:
    before = rows(shipped)
    found_of(shipped, keys(shipped, "ct"), NULL + 0.8 * (ORIGINAL - NULL))
    after = rows(shipped)
    assert after.loc["ct", "forgetting_attack"] == "linear probe" != before.loc["ct", "forgetting_attack"]
    assert after.loc["ct", "forgetting"] == pytest.approx(0.8)
    assert after.loc["ct", "provisional"] == ""
    assert after.loc["msg", "provisional"] == "no probe has looked at all of its models"
    assert after.loc["msg", "forgetting"] == before.loc["msg", "forgetting"]


def test_a_method_that_does_not_apply_to_a_track_is_not_provisional_there(shipped: References) -> None:
    found_of(shipped, keys(shipped, "ct"), NULL)
    (msg,) = (entry for entry in board_entries(shipped) if entry.name == "msg")
    for record in msg.records.values():
        replace(record, status="not-applicable", reason="it reads R", logits=None).save(shipped.store)
    after = rows(References(shipped.track, Store()))
    assert (after.loc["msg", "state"], after.loc["msg", "provisional"]) == ("not applicable", "")
    assert after.loc["ft", "provisional"] != ""


def test_a_probe_that_finds_nothing_leaves_the_evidence_with_the_attacks(shipped: References) -> None:
    before = rows(shipped).loc["ct"]
    found_of(shipped, keys(shipped, "ct"), NULL)
    after = rows(shipped).loc["ct"]
    assert (after["forgetting_attack"], after["forgetting"]) == (before["forgetting_attack"], before["forgetting"])
    assert after["forgetting_low"] <= before["forgetting_low"], "the interval holds for one attack more"


def test_a_probe_without_a_number_of_one_seed_does_not_count(shipped: References) -> None:
    before = rows(shipped).loc["ct"]
    found_of(shipped, keys(shipped, "ct"), ORIGINAL, fault_at=3)
    pd.testing.assert_series_equal(rows(shipped).loc["ct"], before)


def test_the_panel_shows_every_number_with_the_headline_first(shipped: References) -> None:
    found_of(shipped, keys(shipped, "ct"), 0.6)
    numbers = attack_panel.attack_numbers(shipped, entry(shipped, "ct"))
    of_probe = [n for n in numbers if n.attack == "linear_probe"]
    assert [(n.number, round(n.value, 6), round(n.null or 0, 6), round(n.original, 6)) for n in of_probe] == [
        ("recall", 0.6, NULL, ORIGINAL),
        ("another", -0.6, -NULL, -ORIGINAL),
    ]


def relearnt(references: References, names: dict[int, str], hits: list[list[bool]]) -> None:
    """Let the relearning probe have seen ``hits`` [rows, F] of models, by seed."""
    phi = np.where(hits, 2.0, -2.0).astype(np.float32)
    arrays = {"steps": np.array([0, 5]), "forget_hits": np.array(hits), "forget_phi": phi}
    for name in names.values():
        sha = stored.put_arrays(references.store, arrays)
        outcome = ProbeResult("relearning on R", "recall", "", {"recall": 0.5}, "0" * 64, arrays=sha)
        stored.write(references.store, references.track, name, {"relearning": outcome})


def test_curves_of_relearning_are_drawn_beside_original_and_retrain(shipped: References) -> None:
    for kind, hits in (("original", [[True, True]] * 2), ("retrained", [[False, False]] * 2)):
        relearnt(shipped, {seed: result_names.of_reference(shipped, kind, seed) for seed in SEEDS}, hits)
    relearnt(shipped, keys(shipped, "ct"), [[False, False], [True, False]])
    found = relearning.curves(shipped, {"ct": entry(shipped, "ct"), "msg": entry(shipped, "msg")})
    assert found.keys() == {"ct", "original", "retrain"}, "msg has not been looked at"
    assert (found["ct"].accuracy == [0.0, 0.5]).all() and found["ct"].steps == (0, 5)
    expected = np.log1p(np.exp([[2.0, 2.0], [-2.0, 2.0]])).mean(axis=1)
    np.testing.assert_allclose(found["ct"].loss[0], expected)
    drawn = {line.get_label(): list(line.get_ydata()) for line in figures.relearning(found).get_lines()}
    assert drawn == {"ct": [0.0, 0.5], "original": [1.0, 1.0], "retrain": [0.0, 0.0]}


def test_show_says_why_a_probe_has_no_number(shipped: References) -> None:
    found_of(shipped, keys(shipped, "ct"), ORIGINAL, fault_at=3)
    assert "probe failed seed 3: took longer than 1 s" in run("show", "ct").stdout.splitlines()
    assert json.loads(run("show", "ct", "--json").stdout)["probe_faults"] == ["seed 3: took longer than 1 s"]


def test_probes_need_the_weights_of_retrained_models_and_say_how_to_get_them(
    prepared: References, small: Path, tmp_path: Path
) -> None:
    role = Role("retrained", 0)
    prepared.keep(role, replace(prepared.manifest.roles[role.name], weights=None))
    (tmp_path / "mine.py").write_text("def unlearn(model, retain, forget, val):\n    return model\n")
    command = ("submit", str(tmp_path / "mine.py"), "--track", str(small), "--sandbox", "process", "--probes")
    refused = run(*command)
    assert refused.exit_code == 2
    assert f"no weights of retrained/0 of {prepared.track.name}" in refused.stderr
    assert f"bench prepare {prepared.track.name} --from-scratch" in refused.stderr
    assert np.all([word not in refused.stderr for word in ("[1/", "to run")]), "before anything runs"


@pytest.mark.slow
def test_what_probes_found_ships_with_the_records(shipped: References, tmp_path: Path) -> None:
    found_of(shipped, keys(shipped, "ct"), 0.7)
    target = Store(tmp_path / "ships", behind=None)
    export_records(shipped, target)
    for name in (keys(shipped, "ct")[3], result_names.of_reference(shipped, "null", 0)):
        assert stored.read(target, shipped.track, name) == stored.read(shipped.store, shipped.track, name)
    assert stored.read(target, shipped.track, keys(shipped, "msg")[3]).results == {}
