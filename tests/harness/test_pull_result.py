"""The result of a pull request: published where it is whole and true, and refused where it lies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.harness.conftest import run
from tests.harness.gitrepo import Repo, entry_beside
from unlearn_bench.harness.entries.entry import from_source
from unlearn_bench.harness.pulls import comment, outcome, provenance, publication, pull_request, schema
from unlearn_bench.harness.pulls import result as pull_result
from unlearn_bench.harness.pulls.git import Repository
from unlearn_bench.harness.pulls.result import BadResult
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord, now
from unlearn_bench.harness.units.unit_kinds import SeedUnit


@pytest.fixture
def bare(tmp_path: Path) -> Repo:
    return entry_beside(tmp_path / "bare")


@pytest.fixture
def result(prepared: References, small: Path, bare: Repo, tmp_path: Path) -> Path:
    """A result folder of one entry that was not run: its outputs are those of a second retrained model."""
    pull = pull_request.read(Repository(bare.path), "main", "pr")
    harness = provenance.Harness("0.1.0", "0" * 64, ())
    (submission,) = pull.submissions
    prepared.store.put(submission.entry.source)
    track = prepared.track
    records = []
    for seed in range(track.protocol.seeds):
        unit = SeedUnit(submission.entry, track, seed)
        records.append(
            Record(
                key=unit.key, entry=submission.entry.id, name="mine", sha256=submission.entry.sha256, track=track.name,
                reference_digest=track.reference_digest, protocol_digest=track.protocol_digest, seed=seed, status="ok",
                reason="", seconds=1.0 + seed, cpu_seconds=1.0, peak_memory=1, retrain_seconds=4.0,
                logits=prepared.store.put(unit_store.pack(prepared.logits(Role("null", seed)))),
                date="2026-01-01T00:00:00+00:00", trusted=True,
                environment={"backend": "docker"}, parameters={"lr": 1.0},
            )
        )  # fmt: skip
        records[-1].save(prepared.store)
    entries = [outcome.entry_result(prepared, submission, records, None)]
    started = "2026-01-01T00:00:00+00:00"
    document = outcome.pull_result(prepared, pull, harness, started=started, smoke=False, entries=entries)
    folder = tmp_path / "result"
    pull_result.write(folder, document, "", outcome.blobs(prepared, document))
    shutil.rmtree(prepared.store.root / "units")
    return folder


def _text(document: dict[str, Any]) -> dict[str, Any]:
    return document["entries"][0]


def _first(document: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = document["entries"][0]["records"][0]
    return record


LIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown key": (lambda d: d.update(more=1), "form of its schema"),
    "no format": (lambda d: d.pop("format"), "form of its schema"),
    "a path": (lambda d: _text(d).update(path="../../etc/passwd"), "form of its schema"),
    "an odd name": (lambda d: _text(d).update(name="../x"), "form of its schema"),
    "a digest that climbs": (lambda d: _first(d).update(logits="../../../etc/passwd"), "form of its schema"),
    "a negative time": (lambda d: _first(d).update(seconds=-1.0), "form of its schema"),
    "an unknown status": (lambda d: _first(d).update(status="won"), "form of its schema"),
    "a status that nothing runs into": (lambda d: _first(d).update(status="disqualified"), "form of its schema"),
    "a long reason": (lambda d: _first(d).update(reason="x" * 5000), "form of its schema"),
    "a smoke run": (lambda d: d.update(kind="smoke"), "smoke run"),
    "another harness": (lambda d: d["harness"].update(matches_base=False), "not that of the base commit"),
    "another track": (lambda d: d["track"].update(reference_digest="0" * 64), "of another track"),
    "a shipped name": (lambda d: _text(d).update(name="ft", path="submissions/ft.py"), "shipped method"),
    "another name": (lambda d: _text(d).update(path="submissions/other.py"), "not the name of its file"),
    "another source": (lambda d: _text(d).update(sha256="0" * 64), "cannot be read"),
    "other parameters": (lambda d: _first(d).update(parameters={"lr": 2.0}), "not of this entry and track"),
    "unknown parameters": (lambda d: _first(d).update(parameters={"x": 2.0}), "takes no parameter"),
    "another seed": (lambda d: _first(d).update(seed=1), "not of this entry and track"),
    "another key": (lambda d: _first(d).update(key="0" * 64), "not of this entry and track"),
    "another version": (lambda d: _first(d).update(entry="0" * 64), "not of this entry and track"),
    "no outputs": (lambda d: _first(d).update(logits=None), "ok without outputs"),
    "a failure with outputs": (lambda d: _first(d).update(status="crash"), "crash with outputs"),
    "lost to the machine": (lambda d: _first(d).update(status="infra", logits=None), "lost to the machine"),
    "undeserved trust": (
        lambda d: _first(d).update(environment={"backend": "process"}),
        "process is not",
    ),
    "unknown back end": (lambda d: _first(d).update(environment={"backend": "dockerish"}), "'dockerish'"),
    "foreign back end": (
        lambda d: _first(d).update(environment={"backend": "os.path"}),
        "can be trusted here",
    ),
    "tomorrow": (lambda d: _first(d).update(date="2099-01-01T00:00:00+00:00"), "still to come"),
    "no date": (lambda d: _first(d).update(date="2026-19-39T00:00:00+00:00"), "is no date"),
    "a seed twice": (lambda d: _text(d)["records"].append(_first(d)), "a seed twice"),
    "an entry twice": (lambda d: d["entries"].append(_text(d)), "an entry twice"),
    "not these commits": (lambda d: _text(d).update(blob="0" * 40), "are not those of commit"),
}


def test_a_result_that_lies_is_not_published(result: Path, small: Path, bare: Repo, home: Path) -> None:
    good = json.loads((result / "result.json").read_text())
    command = ("publish", str(result), "--track", str(small), "--repo", str(bare.path))
    for name, (lie, words) in LIES.items():
        document = json.loads(json.dumps(good))
        lie(document)
        (result / "result.json").write_text(json.dumps(document))
        done = run(*command)
        assert done.exit_code == 2 and words in done.stderr, (name, done.output)
        assert not list(home.glob("units/**/*.json")), name
    for text in ("", "[]", "{", '{"a": NaN}', "[" * 100_000, "null"):
        (result / "result.json").write_text(text)
        assert run(*command).exit_code == 2
    (result / "result.json").write_text(json.dumps(good))
    assert run(*command).exit_code == 0
    changed = json.loads(json.dumps(good))
    _first(changed)["seconds"] = 0.5
    (result / "result.json").write_text(json.dumps(changed))
    done = run(*command)
    assert done.exit_code == 2 and "published already with another outcome" in done.stderr


def test_arrays_that_lie_are_not_published(result: Path, small: Path) -> None:
    good = json.loads((result / "result.json").read_text())
    command = ("publish", str(result), "--track", str(small))
    logits = unit_store.unpack((result / "blobs" / _first(good)["logits"]).read_bytes())
    nan = logits.copy()
    nan[0, 0] = np.nan
    cases = {
        save({"logits": nan}): "not finite",
        save({"logits": logits[:-1]}): "other names or shapes",
        save({"logits": logits.astype(np.int32)}): "not finite float",
        save({"other": logits}): "other names or shapes",
        b"junk": "cannot be read",
        b"\xff" * 64: "cannot be read",
        b"0" * (1 << 20): "not a regular file of at most",
    }
    for content, words in cases.items():
        sha = hashlib.sha256(content).hexdigest()
        document = json.loads(json.dumps(good))
        _first(document)["logits"] = sha
        (result / "result.json").write_text(json.dumps(document))
        (result / "blobs" / sha).write_bytes(content)
        done = run(*command)
        assert done.exit_code == 2 and words in done.stderr, (words, done.output)
    (result / "result.json").write_text(json.dumps(good))
    assert run(*command).exit_code == 0


def test_a_file_in_the_place_of_outputs_is_not_published(result: Path, small: Path) -> None:
    good = json.loads((result / "result.json").read_text())
    command = ("publish", str(result), "--track", str(small))
    place = result / "blobs" / _first(good)["logits"]
    kept = place.read_bytes()
    place.write_bytes(kept[:-1] + b"\0")
    assert "does not match its digest" in run(*command).stderr
    place.unlink()
    place.symlink_to("/etc/passwd")
    assert "cannot be read" in run(*command).stderr
    place.unlink()
    os.mkfifo(place)
    assert "not a regular file" in run(*command).stderr
    place.unlink()
    place.write_bytes(kept)
    assert run(*command).exit_code == 0


def test_no_name_becomes_a_link_in_the_comment(result: Path) -> None:
    good = json.loads((result / "result.json").read_text())
    good["entries"][0]["neighbours"][0]["entry"] = "www.example.org"
    assert "| `www.example.org` |" in comment.comment(pull_result.parse(good))


def test_the_published_schema_is_what_the_dataclasses_give() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(pull_result.schema())
    assert schema.SCHEMA.read_text() == schema.text(), "run python -m unlearn_bench.harness.pulls.schema"


@pytest.mark.parametrize("lacking", [{"temperature": None}, {"accuracies": {}}])
def test_shadow_units_that_do_not_say_what_their_models_are_stay_out(
    references: References, lacking: dict[str, Any]
) -> None:
    entry = from_source("mine", b"def unlearn(model, retain):\n    return model\n")
    good = ShadowRecord(
        entry.id, "mine", entry.sha256, "ok", "", 1, "0" * 64, 1.0, None, False, now(),
        environment={"backend": "process"}, temperature=1.0, accuracies={"val": 0.5},
    )  # fmt: skip
    with pytest.raises(BadResult, match="lack a temperature or VA"):
        publication._check_shadows(references, entry, replace(good, **lacking), {})
