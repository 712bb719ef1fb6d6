"""What has a position on a public board: foreign entries from containers only; the others are listed with a badge."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import BASELINES
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import board, panel_results
from unlearn_bench.harness.results.badges import NO_BASELINES, UNTRUSTED, worst
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record
from unlearn_bench.scoring.groups import GROUPS


def put(references: References, name: str, source: bytes, trusted: bool, seconds: float) -> None:
    """Records of an entry whose models are those of the null."""
    track = references.track
    sha = hashlib.sha256(source).hexdigest()
    for seed in range(track.protocol.seeds):
        logits = references.store.put(unit_store.pack(references.logits(Role("null", seed))))
        Record(
            key=hashlib.sha256(f"{name} {seed}".encode()).hexdigest(),
            entry=sha,
            name=name,
            sha256=sha,
            track=track.name,
            reference_digest=track.reference_digest,
            protocol_digest=track.protocol_digest,
            seed=seed,
            status="ok",
            reason="",
            seconds=seconds + seed,
            cpu_seconds=seconds,
            peak_memory=1,
            retrain_seconds=10.0,
            logits=logits,
            date="2026-01-01T00:00:00+00:00",
            trusted=trusted,
            environment={"backend": "docker" if trusted else "process"},
        ).save(references.store)


@pytest.fixture
def entries(prepared: References) -> References:
    put(prepared, "boxed", b"boxed", True, 1.0)
    put(prepared, "bare", b"bare", False, 0.5)
    put(prepared, "ft", (BASELINES / "ft.py").read_bytes(), False, 1.0)
    put(prepared, "ga", (BASELINES / "ga.py").read_bytes(), True, 1.0)
    put(prepared, "original", (BASELINES / "original.py").read_bytes(), True, 0.25)
    return prepared


def test_untrusted_rows_are_listed_without_a_position_and_the_others_stand_as_if_they_were_not_there(
    entries: References,
) -> None:
    local, public = (board.board(entries, public=public).set_index("entry") for public in (False, True))
    assert local["position"].notna().sum() == 4
    assert set(public.index) == set(local.index)
    assert set(public.index[public["state"] == UNTRUSTED]) == {"bare", "ft"}, "baselines are timed as well"
    assert list(public.index[-2:]) == ["original", "retrain"] or list(public.index[-2:]) == ["retrain", "original"]
    for name in ("bare", "ft"):
        row = public.loc[name]
        assert row[[c for c in public.columns if c.startswith(("position", "group_", "keep_"))]].isna().all()
        assert (row[[*GROUPS, "F"]] == 0).all() and row["retdev"] == local.loc[name, "retdev"]
    assert set(public.index[public["position"].notna()]) == {"boxed", "ga"}
    for name in ("ft", "bare"):  # the rest do not know them
        for path in entries.store.root.glob("units/**/*.json"):
            if json.loads(path.read_text())["name"] == name:
                path.unlink()
    alone = board.board(entries).set_index("entry")
    assert public.loc[["boxed", "ga"], "position"].equals(alone.loc[["boxed", "ga"], "position"])


def test_without_a_baseline_from_a_container_nothing_has_a_group_or_a_position(
    prepared: References, small: Path
) -> None:
    put(prepared, "boxed", b"boxed", True, 1.0)
    put(prepared, "ft", (BASELINES / "ft.py").read_bytes(), False, 1.0)
    public = board.board(prepared, public=True).set_index("entry")
    assert public["position"].isna().all() and (public[[*GROUPS, "F"]] == 0).all(axis=None)
    assert public.loc["boxed", "state"] == NO_BASELINES and public.loc["ft", "state"] == UNTRUSTED
    table = run("leaderboard", "--track", str(small), "--public").stdout
    assert (
        "bench baselines --track small" in " ".join(table.split())
        and [line for line in table.splitlines() if len(line) > 100] == []
    )


def test_the_command_says_the_badge_and_the_floor(entries: References, small: Path) -> None:
    table = run("leaderboard", "--track", str(small), "--public").stdout
    lines = {line.split()[2]: line for line in table.splitlines() if len(line.split()) > 2}
    assert lines["bare*"].startswith("–") and lines["ft*"].startswith("–") and lines["boxed"][0].isdigit()
    assert (
        "* untrusted sandbox" in table and "overhead floor (the identity entry, median of its seeds): 0.75 s" in table
    )
    assert [line for line in table.splitlines() if len(line) > 100] == []
    content = json.loads(run("leaderboard", "--track", str(small), "--public", "--format", "json").stdout)
    assert {row["entry"]: row["state"] for row in content["rows"]}["bare"] == "untrusted sandbox"
    assert content["floor_seconds"] == 0.75
    markdown = run("leaderboard", "--track", str(small), "--public", "--format", "markdown").stdout
    assert "| – | – | bare (untrusted sandbox) |" in markdown
    assert "untrusted sandbox" not in run("leaderboard", "--track", str(small)).stdout
    shown = run("show", "bare", "--track", str(small)).stdout
    assert "wall seconds median 1.00, 0.50 to 1.50" in shown and "CPU seconds  median 0.50" in shown


def test_shadow_units_of_a_source_that_ships_are_trusted_in_every_back_end(
    entries: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlearn_bench.harness.units.records import ShadowRecord

    def shadow(name: str, source: bytes) -> ShadowRecord:
        sha = hashlib.sha256(source).hexdigest()
        return ShadowRecord(sha, name, sha, "crash", "", 0, None, None, "", False, {})

    found = {"ga": shadow("ga", (BASELINES / "ga.py").read_bytes()), "boxed": shadow("boxed", b"boxed")}
    made = {name: panel_results.ShadowReading(record, None) for name, record in found.items()}
    monkeypatch.setattr(panel_results, "shadow_results", lambda *_: made)
    trusted = board.board(entries).set_index("entry")["trusted"]
    assert trusted["ga"] and not trusted["boxed"]


def test_over_several_tracks_the_badge_is_the_one_that_vouches_least() -> None:
    assert worst({"verified", "not reproduced", "self-reported"}) == "not reproduced"
    assert worst({"verified", "self-reported"}) == "self-reported"
    assert worst({"baseline", UNTRUSTED}) == UNTRUSTED
    assert worst({"verified"}) == "verified"
