"""``bench doctor --attacks``: what the harness adds to the sandbox's suite, and its reports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.doctor import attack_suite
from unlearn_bench.harness.entries import entry
from unlearn_bench.sandbox import backends, suite
from unlearn_bench.sandbox.backends import podman
from unlearn_bench.sandbox.engine import remains
from unlearn_bench.sandbox.suite import AttackOutcome
from unlearn_bench.sandbox.tiny import MODEL

GOOD = AttackOutcome("good", "crash", "crash", 1.25, "exit code 4")
BAD = AttackOutcome("many[b]", "invalid", "ok", 2.0, "", "ended as ok, not invalid")
PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


def test_every_submission_that_cannot_be_a_file_here_is_refused_before_any_container() -> None:
    results = list(attack_suite.statically_refused())
    assert [r.attack.partition(" ")[0] for r in results][:3] == ["oversized", "NUL", "latin-1"]
    assert len(results) == len(attack_suite.SOURCES) + len(attack_suite.FILES) == 8
    assert [(r.attack, r.status) for r in results if not r.ok] == []
    reasons = {r.attack: r.reason for r in results}
    assert "more than 65,536" in reasons["oversized submission"]
    for name in ("symlink", "FIFO"):
        assert "not a regular file" in reasons[f"{name} submission"]
    assert "it has no __init__.py" in reasons["folder submission"]


def test_a_submission_that_is_accepted_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "read", lambda path: None)
    assert {r.why for r in attack_suite.statically_refused()} == {"it was accepted"}


@pytest.mark.parametrize("path", sorted(suite.FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_attack_passes_the_static_check(path: Path) -> None:
    # otherwise it would never reach a sandbox, and would attack nothing
    entry.read(path)


@pytest.mark.parametrize("results, code", [([GOOD], 0), ([GOOD, BAD], 20)])
def test_the_command_reports_and_fails(
    results: list[AttackOutcome], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(sandbox: str | None) -> Iterator[AttackOutcome]:
        yield from results

    monkeypatch.setattr(attack_suite, "run", run)
    monkeypatch.setattr(attack_suite, "summary", lambda sandbox, results: "summary")
    text = CliRunner().invoke(bench, ["doctor", "--attacks"])
    assert text.exit_code == code and "ok    good" in text.stdout
    assert ("FAIL  many[b]" in text.stdout) == (BAD in results) == ("ended as ok, not invalid" in text.stdout)
    as_json = CliRunner().invoke(bench, ["doctor", "--attacks", "--json"])
    rows = json.loads(as_json.stdout)
    assert ("FAIL  many[b]" in as_json.stderr) == (BAD in results)
    assert as_json.exit_code == code and [row["ok"] for row in rows] == [result.ok for result in results]
    assert rows[0]["attack"] == "good" and rows[0]["seconds"] == 1.25 and rows[0]["expected"] == "crash"


def test_units_of_one_file_are_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_suite, "summary", lambda sandbox, results: "summary")
    table = attack_suite.markdown(None, [GOOD, BAD, AttackOutcome("many[a]", "invalid", "invalid", 7.0, "")])
    assert "| good | crash | crash | 1.2 |\n| many × 2 | invalid | ok, invalid | 7.0 |" in table


def test_no_engine_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    result = CliRunner().invoke(bench, ["doctor", "--attacks"])
    assert result.exit_code == 20 and "no container engine answers" in result.stderr


def test_the_table_in_the_documentation_is_that_of_the_folder() -> None:
    # after a change of an attack: paste the output of `bench doctor --attacks markdown` between its two markers
    begin, end = attack_suite.MARKERS
    table = PAGE.read_text().partition(begin)[2].partition(end)[0]
    assert attack_suite.HEADLINE in table and " 0 deviations; " in table
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "][
        1:
    ]
    listed = {re.sub(r" × \d+$", "", name): (expected, status) for name, expected, status, _ in rows}
    wanted = {first.name: first.expect for first, *_ in suite.attacks()}
    wanted |= {f"{name} submission": "invalid" for name in (*attack_suite.SOURCES, *attack_suite.FILES)}
    wanted |= {f"{attack_suite.OVERFLOWING}, inferred": "invalid", "what is left": "nothing"}
    assert listed == {name: (status, status) for name, status in wanted.items()}
    assert len(rows) == len(wanted)


@pytest.mark.docker
def test_outputs_that_overflow_are_refused_where_they_are_inferred() -> None:
    backend = backends.load("docker")
    if reason := backend.unavailable(MODEL, "cpu"):
        pytest.skip(reason)
    result = attack_suite.outputs(backend, "attack-outputs")
    assert result.ok and result.status == "invalid", result


def test_what_is_left_is_asked_of_the_engine_that_is_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def engine(connection: AbstractContextManager[str]) -> None:
        with connection as address:
            asked.append(address)
        raise InterruptedError

    monkeypatch.setenv("CONTAINER_HOST", "tcp://127.0.0.1:9")
    monkeypatch.setattr(attack_suite, "attacked", lambda name: podman.Podman())
    monkeypatch.setattr(podman, "connect", nullcontext)
    monkeypatch.setattr(remains, "engine", engine)
    with pytest.raises(InterruptedError):
        next(attack_suite.run("podman"))
    assert asked == ["tcp://127.0.0.1:9"]
