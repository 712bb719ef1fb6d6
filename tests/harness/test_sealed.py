"""Sealed tracks: what is secret stays secret, what was committed to can be checked, and nobody has endless tries."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.harness.conftest import SMALL, run
from tests.harness.sealed_track import CANARY
from unlearn_bench.harness.data.splits import hold_out
from unlearn_bench.harness.entries.entry import read
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks import sealed
from unlearn_bench.harness.tracks.loading import load_track, parse_track, read_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure, unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit, Unit


def test_seal_takes_the_seeds_out_and_the_secret_puts_fresh_ones_in(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.toml"
    assert run("seal", str(small), "--secret", str(secret), "--quota", "3").exit_code == 0
    assert secret.stat().st_mode & 0o777 == 0o600
    table = tomllib.loads(small.read_text())
    assert set(table["sealed"]) == {"commitment", "quota"}
    assert "seed" not in {**table["splits"], **table["recipe"], **table["protocol"]}
    drawn = tomllib.loads(secret.read_text())
    assert not any(str(value) in small.read_text() for value in drawn.values())
    monkeypatch.setenv(sealed.VARIABLE, str(secret))
    opened = load_track(str(small))
    assert (opened.splits.seed, opened.recipe.seed, opened.protocol.seed) == (
        drawn["splits"],
        drawn["recipe"],
        drawn["protocol"],
    )
    assert opened.analysis.umia_seed == drawn["analysis"] and opened.sealed and opened.sealed.quota == 3
    assert min(value for key, value in drawn.items() if key != "salt") > 2**32, "nobody tries them all"
    again = run("seal", str(small), "--secret", str(tmp_path / "other.toml"))
    assert again.exit_code == 2 and "sealed already" in again.stderr


def test_a_secret_is_kept_out_of_repositories_and_never_overwritten(small: Path, tmp_path: Path) -> None:
    (tmp_path / "work" / ".git").mkdir(parents=True)
    (tmp_path / "work" / "deep").mkdir()
    before = small.read_text()
    there = tmp_path / "there.toml"
    there.write_text("kept")
    places = {"work/deep/s.toml": "git work tree", "there.toml": "there already", "no/s.toml": "No such"}
    for place, words in places.items():
        result = run("seal", str(small), "--secret", str(tmp_path / place))
        assert result.exit_code == 2 and words in result.stderr
        assert small.read_text() == before
    assert there.read_text() == "kept" and not list((tmp_path / "work" / "deep").iterdir())


def test_without_its_secret_a_sealed_track_cannot_be_run(
    cup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, other = tmp_path / "secrets" / "cup.toml", tmp_path / "other.toml"
    assert run("leaderboard", "--track", str(cup), "--format", "csv", "--secret", str(tmp_path)).exit_code == 2
    monkeypatch.delenv(sealed.VARIABLE)
    missing = run("leaderboard", "--track", str(cup))
    assert missing.exit_code == 2 and "cup is sealed, and its secret is not here" in missing.stderr
    sealed.write(replace(CANARY, protocol=7), "cup", other)
    wrong = {other: "not the one that track cup commits to", cup: "is not a secret", tmp_path / "x": "no secret"}
    for path, words in wrong.items():
        result = run("show", "ft", "--track", str(cup), "--secret", str(path))
        assert result.exit_code == 2 and words in result.stderr
        assert str(CANARY.splits) not in result.output and CANARY.salt not in result.output
    secret.chmod(0o640)
    result = run("show", "ft", "--track", str(cup), "--secret", str(secret))
    assert result.exit_code == 2 and "other users may read" in result.stderr and "chmod 600" in result.stderr
    secret.chmod(0o600)
    result = run("show", "nobody", "--track", str(cup), "--secret", str(secret))
    assert "no entry 'nobody' on cup" in result.stderr, "the track opens"
    assert run("leaderboard", "--track", str(cup)).exit_code == 2, "the option opened it for one command"


def test_seeds_in_a_sealed_file_and_a_salt_are_refused(cup: Path) -> None:
    text = cup.read_text()
    cup.write_text(text.replace("[splits]\n", "[splits]\nseed = 1\n"))
    with pytest.raises(TrackError, match=r"splits\.seed stands in a sealed track"):
        load_track(str(cup))
    cup.write_text('salt = "00"\n' + text)
    with pytest.raises(TrackError, match="salt is not a key"):
        load_track(str(cup))
    cup.write_text(text.replace('commitment = "', 'commitments = "'))
    with pytest.raises(TrackError, match=r"sealed\.commitments is not a key"):
        load_track(str(cup))


def test_digests_tell_nothing_to_who_guesses_the_seeds(cup: Path, tmp_path: Path) -> None:
    opened = load_track(str(cup))
    guessed = replace(opened, sealed=None, salt="")
    resalted = parse_track(*read_track(str(cup)), replace(CANARY, salt="00" * 32))

    def digests(one: Track) -> list[str]:
        return [one.reference_digest, one.protocol_digest, one.analysis_digest]

    assert not {*digests(opened)} & {*digests(guessed), *digests(resalted)}
    assert sealed.seal(SMALL, replace(CANARY, salt=""), 0) not in cup.read_text()
    assert CANARY.salt not in repr(opened) and CANARY.salt not in repr(CANARY)
    cup.write_text(cup.read_text().replace("quota = 2", "quota = 9"))
    assert digests(load_track(str(cup))) == digests(opened), "a quota orphans nothing"


def test_a_revealed_secret_can_be_checked_by_anybody(cup: Path, tmp_path: Path) -> None:
    published = tmp_path / "published.toml"
    assert run("reveal", str(cup), "--out", str(published)).exit_code == 0
    assert published.read_text() == (tmp_path / "secrets" / "cup.toml").read_text()
    assert run("reveal", str(cup), "--check", "--secret", str(published)).exit_code == 0
    published.write_text(published.read_text().replace(str(CANARY.recipe), str(CANARY.recipe + 1)))
    result = run("reveal", str(cup), "--check", "--secret", str(published))
    assert result.exit_code == 2 and "not the one" in result.stderr
    assert run("reveal", "digits-resnet18", "--check").exit_code == 2


def test_a_secret_is_not_printed_and_never_written_over(cup: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "cup.toml"
    before = secret.read_text()
    onto_itself = run("reveal", str(cup), "--out", str(secret))
    assert onto_itself.exit_code == 2 and "is there already" in onto_itself.stderr
    assert secret.read_text() == before
    printed = run("reveal", str(cup))
    assert printed.exit_code == 2 and "--out" in printed.stderr and CANARY.salt not in printed.output


def test_the_papers_split_takes_seeds_of_63_bits() -> None:
    found = [tuple(hold_out(1000, 0.1, seed)[1][:8]) for seed in (2**62 + 1, 2**61 + 1, 1)]
    assert len(set(found)) == 3
    assert hold_out(50_000, 0.15, 123)[1].tolist()[:2] == np.random.RandomState(123).permutation(50_000)[:2].tolist()


def test_the_quota_counts_sources_and_nothing_else(cup: Path, tmp_path: Path) -> None:
    opened, store = load_track(str(cup)), Store()

    def version(number: int, name: str = "mine") -> Unit:
        path = tmp_path / f"{name}.py"
        path.write_text(f"'''{number}'''\ndef unlearn(model, retain):\n    return model\n")
        return SeedUnit(read(path), opened, 0)

    def scored(unit: Unit) -> None:
        disclosure.within_quota(store, unit.entry, opened)
        example = next(iter(unit_store.seed_records(Store(), load_track("digits-resnet18"))))
        digests = {"reference_digest": opened.reference_digest, "protocol_digest": opened.protocol_digest}
        replace(
            example, key=unit.key, name=unit.entry.name, entry=unit.entry.id, sha256=unit.entry.sha256, **digests
        ).save(store)

    for number in (1, 1, 2, 1):
        scored(version(number))
    scored(version(3, "other"))
    entry = version(3).entry
    result = run("submit", str(tmp_path / "mine.py"), "--track", str(cup), "--sandbox", "process")
    assert result.exit_code == 2 and "its quota is 2" in result.stderr
    assert "reference models to train" not in result.stderr, "before anything runs"
    disclosure.within_quota(store, entry, replace(opened, sealed=None))  # a public track has none


def test_auto_never_takes_a_sealed_track_out_of_the_container(
    cup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    path = tmp_path / "mine.py"
    path.write_text("def unlearn(model, retain):\n    return model\n")
    result = run("submit", str(path), "--track", str(cup))
    assert result.exit_code == 20 and "no trusted sandbox is usable here to keep its secret" in result.stderr
