"""A sandbox back end outside of the repository, used through the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.doctor import attack_suite, checks
from unlearn_bench.harness.references.references import References
from unlearn_bench.sandbox.suite import AttackOutcome

NAME = "their_pkg.their_backend"
BACKEND = f"""
from tests.harness.forked import WarmUnits

class Theirs(WarmUnits):
    name = {NAME!r}
    description = "a back end of their own"
    enforces = frozenset({{"deadline"}})

def create():
    return Theirs()
"""
ENTRY = """
'''Does nothing.'''
def unlearn(model, retain, forget, val):
    return model
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "their_pkg"
    package.mkdir()
    (package / "their_backend.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(tmp_path)
    return NAME


def test_submit_runs_units_in_it_and_records_its_name(
    theirs: str, prepared: References, small: Path, tmp_path: Path, home: Path
) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(ENTRY)
    result = run("submit", str(entry), "--track", str(small), "--sandbox", theirs, "--seeds", "1")
    assert result.exit_code == 0, result.output
    assert f"sandbox {theirs}: asked for (a back end of their own; results are marked untrusted)" in result.stderr
    documents = [json.loads(path.read_text()) for path in home.glob("units/**/*.json")]
    recorded = {(d["environment"]["backend"], d["trusted"]) for d in documents if d["name"] == "mine"}
    assert recorded == {(theirs, False)}


def test_the_doctor_tries_the_limits_that_it_promises(theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "NOOP_UNITS", 1)
    monkeypatch.setattr(checks, "_neighbours", lambda store: checks.Check("cores", "not measured"))
    result = run("doctor", "--sandbox", theirs, "--json")
    lines = {line["subject"]: line for line in json.loads(result.stdout)}
    assert {"docker", "process", "deadline"} <= set(lines) and "memory limit" not in lines
    assert lines["sandbox"]["text"].startswith(f"{theirs}: asked for (a back end of their own;")
    assert lines["deadline"]["ok"] and f"identity entry in {theirs}, 1 times" in lines["clock"]["text"]


def test_the_attack_suite_attacks_it(theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attacked: list[str] = []

    def attack(backend, job):  # type: ignore[no-untyped-def]
        attacked.append(backend.name)
        yield AttackOutcome("one", "ok", "ok", 0.0, "")

    monkeypatch.setattr(attack_suite.suite, "run", attack)
    monkeypatch.setattr(attack_suite, "outputs", lambda backend, run_id: AttackOutcome("two", "ok", "ok", 0.0, ""))
    result = run("doctor", "--attacks", "--sandbox", theirs)
    assert result.exit_code == 0 and attacked == [theirs], result.output


@pytest.mark.parametrize("command", [("submit", "mine.py"), ("doctor", "--attacks")])
def test_an_unknown_one_is_refused_with_what_is_allowed(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ENTRY)
    words = [str(tmp_path / word) if word == "mine.py" else word for word in command]
    result = run(*words, "--sandbox", "dokcer")
    assert result.exit_code == (2 if "submit" in command else 20)
    assert "there is no sandbox called 'dokcer'" in result.stderr and "docker:RUNTIME" in result.stderr
    assert "dotted path of a module" in result.stderr
