"""A row's life: what stands under a name, and what changes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import unlearn_bench as ub
from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import Entry, from_source
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results.board_entries import board_entries, find, shadow_records
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.units import promotions, shadow_units, unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import unit_record
from unlearn_bench.harness.workflows import versions
from unlearn_bench.sandbox.types import Outcome

SOURCE = "def unlearn(model, retain, *, lr=0.01):\n    return model\n"
PLAIN = from_source("mine", SOURCE.encode(), trusted=True)
OTHER = from_source("mine", f"# of somebody else\n{SOURCE}".encode(), trusted=True)
BOTH = range(2)


def ran(references: References, entry: Entry, seeds: Iterable[int] = BOTH, day: int = 1) -> None:
    """Leave the records of a run on this day, whose models are the originals."""
    for seed in seeds:
        unit = SeedUnit(entry, references.track, seed)
        logits = references.store.put(unit_store.pack(references.logits(Role("original", seed))))
        record = unit_record(unit, Outcome("ok", seconds=1.0, environment={"backend": "process"}), logits, False, {})
        replace(record, date=f"2026-11-{day:02}T00:00:00+00:00").save(references.store)


def row(references: References) -> str:
    """Return the id of the version that stands."""
    (entry,) = [each for each in board_entries(references) if each.name == "mine"]
    return entry.entry_id


def plain(references: References, entry: Entry, seeds: Iterable[int] = BOTH, day: int = 1) -> None:
    """Do what the plain command does."""
    versions.pin(references, entry)
    ran(references, entry, seeds, day)
    versions.settle(references, [entry])


def test_a_store_without_promotions_shows_the_complete_version_that_ran_last(prepared: References) -> None:
    old, new, partial = (PLAIN.with_parameters({"lr": lr}) for lr in (0.1, 0.2, 0.3))
    ran(prepared, old, day=1)
    ran(prepared, new, day=2)
    ran(prepared, partial, [0], day=3)
    assert row(prepared) == new.id


def test_experiments_change_no_row(prepared: References) -> None:
    plain(prepared, PLAIN, day=1)
    versions.pin(prepared, PLAIN.with_parameters({"lr": 0.02}))
    ran(prepared, PLAIN.with_parameters({"lr": 0.02}), [0], day=2)
    ran(prepared, PLAIN.with_parameters({"lr": 0.02}), day=3)
    assert row(prepared) == PLAIN.id
    plain(prepared, OTHER, day=4)
    assert row(prepared) == PLAIN.id, "another source under the name"


def test_the_plain_command_moves_the_row_of_its_source_along(prepared: References) -> None:
    tuned = PLAIN.with_parameters({"lr": 0.05})
    plain(prepared, PLAIN, day=1)
    plain(prepared, tuned, [0], day=2)
    assert row(prepared) == PLAIN.id, "not before it is complete"
    plain(prepared, tuned, day=2)
    assert row(prepared) == tuned.id


def test_a_complete_run_replaces_a_first_look_at_another_source(prepared: References) -> None:
    plain(prepared, OTHER, [0], day=1)
    plain(prepared, PLAIN, day=2)
    assert row(prepared) == PLAIN.id


def test_what_was_promoted_stands_until_something_else_is(prepared: References, small: Path) -> None:
    chosen = PLAIN.with_parameters({"lr": 0.02})
    plain(prepared, PLAIN, day=1)
    ran(prepared, chosen, day=2)
    assert ub.promote(f"mine@{chosen.id[:8]}", str(small)).entry_id == chosen.id
    plain(prepared, PLAIN, day=3)
    assert row(prepared) == chosen.id
    ran(prepared, OTHER, day=4)
    versions.promote("mine", str(small))
    assert row(prepared) == OTHER.id, "without a version it is the complete one that ran last"


def test_what_is_not_complete_is_not_promoted(prepared: References, small: Path) -> None:
    ran(prepared, PLAIN, [0])
    with pytest.raises(BenchError, match="1 of 2 seeds are ok"):
        versions.promote("mine", str(small))
    with pytest.raises(BenchError, match="no version 'ffff'"):
        versions.promote("mine@ffff", str(small))


def test_shadow_units_of_an_experiment_are_not_those_of_the_row(prepared: References) -> None:
    plain(prepared, PLAIN)
    experiment = PLAIN.with_parameters({"lr": 0.02})
    example = replace(shadow_units._started(PLAIN, _Runner(), None), status="crash", reason="x")
    for entry in (PLAIN, experiment):
        promotions.attack(prepared.store, prepared.track, entry.id, entry.id)
        shadow_units.keep(prepared, replace(example, entry=entry.id, reason=entry.id))
    assert shadow_records(prepared)["mine"].reason == PLAIN.id
    ran(prepared, experiment, day=2)
    version = find(prepared, f"mine@{experiment.id[:8]}")
    assert shadow_records(prepared, [version])["mine"].reason == experiment.id


class _Runner:
    trusted, backend = False, "process"


def test_an_experiment_after_a_complete_run_through_the_commands(
    prepared: References, small: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    command = ("submit", str(file), "--track", str(small), "--sandbox", "process")
    assert run(*command).exit_code == 0
    done = run(*command, "--set", "lr=0.02", "--seeds", "1")
    assert done.exit_code == 0, done.output
    own, standing = (f"mine@{PLAIN.with_parameters({'lr': lr}).id[:8]}" for lr in (0.02, 0.01))
    assert f"{own} is an experiment: the row of mine is still {standing}" in done.stderr
    assert "not ranked yet" in done.stdout, "the place that it would have"

    rows = json.loads(run("leaderboard", "--track", str(small), "--format", "json").stdout)["rows"]
    assert next(row for row in rows if row["entry"] == "mine")["seeds_ok"] == 2
    listed = run("show", "mine", "--versions", "--track", str(small)).stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["*", standing[5:]], [own[5:], listed[2].split()[1]]]
    assert "lr=0.02" in listed[2] and "1 ok of 2" in listed[2]
    assert "lr=0.02" in run("show", own, "--track", str(small)).stdout
    compared = run("compare", own, standing, "--track", str(small))
    assert compared.exit_code == 0 and own in compared.stdout
    refused = run("promote", own, "--track", str(small))
    assert refused.exit_code == 2 and "is not complete" in refused.stderr
