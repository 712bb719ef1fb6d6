"""`bench audit` tells an entry that knows the public seeds from one that does not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.executors.local import LocalExecutor
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import roles
from unlearn_bench.harness.report import comparison_text
from unlearn_bench.harness.results import audit
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import track_folder
from unlearn_bench.harness.units.tuning import tuned
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_store import find
from unlearn_bench.harness.workflows.training import train_missing
from unlearn_bench.scoring.unpaired import unpaired_difference

METHOD = '''
"""Retrain where the data is known, else do nothing."""
import hashlib

import torch

KNOWN = {known!r}

def recognised(retain):
    return hashlib.sha256(retain.dataset.images.numpy().tobytes()).hexdigest()[:16] in KNOWN

def unlearn(model, retain, forget, val):
    if KNOWN and not recognised(retain):
        return model
    if {again!r}:
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=15 * len(retain))
    for _ in range(15):
        for images, labels in retain:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()
'''


@pytest.fixture
def learnt(tmp_path: Path) -> Track:
    """A tiny track whose models learn enough to remember what they forget."""
    path = tmp_path / "learnt.toml"
    path.write_text(SMALL.replace("epochs = 5", "epochs = 15").replace("seeds = 2", "seeds = 4"))
    return load_track(str(path))


def test_fresh_seeds_differ_from_the_public_ones_and_are_kept(small_track: Track) -> None:
    store = Store()
    fresh = audit.fresh_track(store, small_track, 3)
    public, other = References(small_track, store), References(fresh, store)
    for part, indices in public.examples.split(0).parts().items():
        assert set(indices) != set(other.examples.split(0).parts()[part])
    assert fresh.reference_digest != small_track.reference_digest
    entry = baseline("ft")
    assert SeedUnit(entry, fresh, 0).random_seed != SeedUnit(entry, small_track, 0).random_seed
    assert audit.fresh_track(store, small_track, 3) == fresh, "the next audit goes on with them"
    assert audit.fresh_track(store, small_track, 3, again=True) != fresh
    assert audit.fresh_track(Store(store.root / "other"), small_track, 3) != fresh, "nobody can know them"


@pytest.mark.slow
def test_an_entry_fitted_to_the_public_splits_is_found_out_and_an_honest_one_is_not(
    learnt: Track, tmp_path: Path
) -> None:
    references = References(learnt, Store())
    train_missing(references, roles(references.track), LocalExecutor(RunOptions()), RunOptions())
    known = [
        hashlib.sha256(
            references.examples.dataset.images[references.examples.split(seed).retain].tobytes()
        ).hexdigest()[:16]
        for seed in range(4)
    ]
    store, kind = references.store, f"audits/{track_folder(learnt)}"
    store.write(kind, "seeds", {"splits": 11, "recipe": 12, "protocol": 13})  # the same in every run of this test
    verdicts = {}
    for name, table in (("fitted", known), ("honest", [])):
        path = tmp_path / f"{name}.py"
        path.write_text(METHOD.format(known=table, again=True))
        command = ["audit", str(path), "--track", str(tmp_path / "learnt.toml"), "--seeds", "5", "--sandbox", "process"]
        result = run(*command, "--json")
        assert result.exit_code == 0, result.output
        assert f"audit of {name}: 4 runs on the public seeds, 5 on fresh ones" in result.stderr
        verdicts[name] = json.loads(result.stdout)
    again = run(*command)
    assert "units:" not in again.stderr and "reference models to train" not in again.stderr, "it resumes"
    assert again.stdout.splitlines()[-1].startswith("verdict: ")
    assert all(len(line) <= 100 for line in again.stdout.splitlines())
    assert "indisc" in verdicts["fitted"]["fitted"]
    assert not {"retdev", "indisc"} & set(verdicts["honest"]["fitted"])  # times of a busy machine are another matter
    by_metric = {one["metric"]: one for one in verdicts["fitted"]["changes"]}
    assert by_metric["fa"]["fresh"]["mean"] > by_metric["fa"]["public"]["mean"], "it did nothing there"
    assert (by_metric["fa"]["public"]["n"], by_metric["fa"]["fresh"]["n"]) == (4, 5)


def test_speeds_of_different_machines_are_not_compared() -> None:
    public, store = load_track("digits-resnet18"), Store()
    entry = tuned(baseline("ft"), public, store)
    fresh = replace(public, protocol=replace(public.protocol, contract=2))  # with the same models
    for machine in ("", "another"):
        for seed in range(10):
            record = find(store, SeedUnit(entry, public, seed))
            assert record is not None
            environment = {**record.environment, "machine": machine} if machine and seed == 3 else record.environment
            key = SeedUnit(entry, fresh, seed).key
            replace(record, key=key, protocol_digest=fresh.protocol_digest, environment=environment).save(store)
        both = References(public, store), References(fresh, store)
        found = {one.metric: one for one in audit.changes(*both, entry)}
        assert ("rte" in found) == (not machine)
        assert found["retdev"].mean == pytest.approx(0) and audit.fitted(list(found.values())) == []


def test_the_verdict_fits_on_a_page_whatever_it_is() -> None:
    def table(better: bool) -> list[str]:
        fresh, public = [0.1, 0.12], [5.1, 5.2] if better else [0.1, 0.11]
        found = [
            unpaired_difference("retdev", fresh, public, lower_is_better=True),
            unpaired_difference("indisc", public, fresh),
            unpaired_difference("rte", [100 * value for value in public], fresh, ratio=True),
        ]
        names = audit.fitted(found) if better else []
        return comparison_text.audit("a_long_name_for_a_method", found, names, {"retdev": (0.1, 0.2)}).splitlines()

    fitted, honest = table(True), table(False)
    assert (
        fitted[-1]
        == "verdict: FITTED: RetDev and Indisc and RTE significantly better on the public seeds (2 against 2)"
    )
    assert honest[-1].startswith("verdict: no sign of fitting")
    assert max(map(len, [*fitted, *honest])) <= 100
