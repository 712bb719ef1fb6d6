"""Marks on rows: a unit that ran again, a source that was disqualified; every form of the board shows both."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.harness.conftest import run
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.report import comparison_text
from unlearn_bench.harness.results import board, review, scores, verification
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record


@pytest.fixture
def shipped() -> References:
    """The default track with what ships."""
    return References(load_track("digits-resnet18"), Store())


def of(references: References, name: str) -> review.Mark:
    return review.marks(references).get(name, review.Mark())


def test_a_unit_runs_again_and_the_board_says_verified(prepared: References, small: Path, tmp_path: Path) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(FINE_TUNE)
    track = ("--track", str(small), "--sandbox", "process")
    assert run("submit", str(entry), *track, "--set", "lr=0.02").exit_code == 0
    entry.unlink()
    before = [one for one in unit_store.seed_records(prepared.store, prepared.track) if one.name == "mine"]
    again = run("verify", "mine", "--seed", "1", *track)
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[-1] == "verdict: consistent: every output is the same to the last digit"
    after = [one for one in unit_store.seed_records(prepared.store, prepared.track) if one.name == "mine"]
    assert len(before) == 2 and after == before, "what was published stays"
    assert [(one.seed, one.verdict) for one in of(prepared, "mine").reruns] == [(1, "consistent")]
    assert run("verify", "mine", "--seed", "2", *track).exit_code == 2
    entry.write_text(FINE_TUNE + "\n")
    other = run("verify", str(entry), "--seed", "1", *track)
    assert other.exit_code == 2 and "is not the one that was published" in other.stderr

    (record,) = (
        one for one in unit_store.seed_records(prepared.store, prepared.track) if one.seed == 1 and one.name == "mine"
    )
    replace(record, status="crash", logits=None).save(prepared.store)
    changed = run("verify", "mine", "--seed", "1", *track, "--json")
    assert changed.exit_code == 14 and json.loads(changed.stdout)["why"] == "published as crash, now ok"
    assert of(prepared, "mine").verified == review.NOT_REPRODUCED
    replace(record, date="2027-01-01T00:00:00+00:00").save(prepared.store)
    assert not of(prepared, "mine").reruns, "a mark belongs to the record that it was compared with"


def again_of(references: References, record: Record, logits: NDArray[np.float32]) -> Record:
    """A second run of a unit, with these outputs."""
    kept = references.store.put(unit_store.pack(logits))
    return replace(record, logits=kept, date="2027-01-01T00:00:00+00:00")


def nearly(references: References, record: Record) -> Record:
    """A second run on another machine: rounding has moved every output a little."""
    logits = unit_store.logits(references.store, record)
    assert logits is not None
    return again_of(
        references, record, logits + np.random.default_rng(0).normal(0, 0.1, logits.shape).astype(np.float32)
    )


def test_the_verdict_rests_on_the_entrys_own_spread(shipped: References) -> None:
    present = {one.name: one for one in board_entries(shipped)}
    msg = present["msg"]
    published = msg.records[3]
    assert published.status == "ok" and published.logits is not None

    same = replace(published, date="2027-01-01T00:00:00+00:00")
    assert verification.judge(shipped, msg, published, same)[0].verdict == "consistent"
    near = nearly(shipped, published)
    rerun, table, why = verification.judge(shipped, msg, published, near)
    assert rerun.verdict == "consistent" and "spread" in why, table
    far = again_of(shipped, published, shipped.logits(Role("original", 3)))  # as if nothing had been unlearned
    rerun, table, why = verification.judge(shipped, msg, published, far)
    assert rerun.verdict == "inconsistent" and "umia" in {one.metric for one in table if one.exceeds}
    assert "moved by more than the entry's seeds explain" in why

    slow = replace(near, seconds=(published.seconds or 1) * 3)
    assert verification.judge(shipped, msg, published, slow)[0].verdict == "inconsistent"
    elsewhere = replace(slow, environment={**published.environment, "cpu": "another"})
    rerun, table, _ = verification.judge(shipped, msg, published, elsewhere)
    assert rerun.verdict == "consistent" and not table[-1].judged, "seconds of two machines are not compared"
    assert "(elsewhere)" in comparison_text.verification(published, elsewhere, table)


def test_records_without_arrays_are_judged_by_their_scores(
    shipped: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = {one.name: one for one in board_entries(shipped)}
    ft, retrain = present["ft"], present["retrain"]
    bare, read = ft.records[0], unit_store.logits
    near = nearly(shipped, bare)
    monkeypatch.setattr(
        unit_store, "logits", lambda store, record: None if record.logits == bare.logits else read(store, record)
    )
    assert scores.record_scores(shipped, bare) is not None, "scores ship"
    assert verification.judge(shipped, ft, bare, near)[0].verdict == "consistent"
    assert retrain.records[0].logits is None
    again = again_of(shipped, retrain.records[0], shipped.logits(Role("null", 0)))
    rerun, table, _ = verification.judge(shipped, retrain, retrain.records[0], again)
    assert rerun.verdict == "consistent" and "retdev" not in {one.metric for one in table}
    few = replace(ft, records={0: bare})
    assert verification.judge(shipped, few, bare, near)[0].verdict == "cannot tell"


def test_a_disqualified_row_stays_in_sight_and_leaves_its_position(prepared: References, small: Path) -> None:
    from tests.harness.test_public_board import put

    track = ("--track", str(small))
    for place, name in enumerate(("fair", "foul")):
        put(prepared, name, name.encode(), True, 1.0 + place)
    before = board.board(prepared).set_index("entry")
    assert before.loc["foul", "position"] >= 1
    assert run("disqualify", "foul", *track).exit_code == 2
    assert run("disqualify", "ghost", "--reason", "x", *track).exit_code == 2
    reason = "rule 13: trained on | the test set"
    assert run("disqualify", "foul", "--reason", reason + "\n\x1b[31m", *track).exit_code == 0
    after = board.board(prepared).set_index("entry")
    row = after.loc["foul"]
    assert (row["state"], row["reason"]) == ("disqualified", reason)
    assert pd.isna(row["position"]) and pd.isna(row["group_retdev"]) and row["G1"] == 0
    assert row["retdev"] == before.loc["foul", "retdev"]
    assert after.loc["fair", "position"] == 1
    assert list(after.index[-2:]) == ["retrain", "original"] or list(after.index[-2:]) == ["original", "retrain"]

    record = next(one for one in board_entries(prepared) if one.name == "fair").records[0]
    review.keep(prepared, record, review.Rerun(0, "consistent", "2027-01-01T00:00:00+00:00", record.date))
    table = run("leaderboard", *track).stdout
    lines = {line.split()[2]: line for line in table.splitlines() if len(line.split()) > 2}
    assert lines["foul×"].startswith("–") and lines["fair✓"].startswith("1")
    assert f"× foul disqualified: {reason}" in table and "✓ verified" in table
    assert [line for line in table.splitlines() if len(line) > 100] == []
    frame = pd.read_csv(io.StringIO(run("leaderboard", *track, "--format", "csv").stdout)).set_index("entry")
    assert frame.loc["foul", "state"] == "disqualified" and frame.loc["fair", "verified"] == "verified"
    rows = json.loads(run("leaderboard", *track, "--format", "json").stdout)["rows"]
    assert {row["entry"]: row["verified"] for row in rows} == {
        "fair": "verified",
        "foul": "",
        "retrain": "",
        "original": "",
    }
    markdown = run("leaderboard", *track, "--format", "markdown").stdout
    assert "| foul (disqualified) |" in markdown and "| fair (verified) |" in markdown
    assert f"disqualified: {reason}" in run("show", "foul", *track).stdout
    assert run("show", "fair", *track).stdout.splitlines()[1].endswith("· verified")

    assert run("disqualify", "foul", "--undo", *track).exit_code == 0
    assert run("disqualify", "foul", "--undo", *track).exit_code == 2
    back = board.board(prepared).set_index("entry")
    assert back.loc["foul", "position"] == before.loc["foul", "position"]


def test_shipped_methods_are_not_disqualified() -> None:
    result = run("disqualify", "ft", "--reason", "no")
    assert result.exit_code == 2 and "sets the cut points" in result.stderr
