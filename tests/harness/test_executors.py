"""Executors: found by name, or one of the user's own by its dotted path; one file is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness import executors
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.support.errors import BenchError

OWN = """
from unlearn_bench.harness.executors.local import LocalExecutor

class Narrating(LocalExecutor):
    def timed(self, track, open_references):
        context, line = super().timed(track, open_references)
        return context, f"{line}; watched"

    def train(self, references, plan, on_progress):
        print(f"{len(plan.tasks)} tasks")
        return super().train(references, plan, on_progress)

    def close(self):
        print("closed")

connect = Narrating
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "narrating.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_lab.narrating"


def test_the_shipped_ones_are_found_by_their_modules() -> None:
    assert executors.names() == ["local", "ray"]


def test_one_of_your_own_trains_and_runs_units_of_a_command(own: str, small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("epochs = 5", "epochs = 1"))
    result = run("prepare", str(small), "--executor", own)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith(" tasks") and lines[1] == "closed" and "6 of 6 reference models" in lines[2]
    entry = tmp_path / "mine.py"
    entry.write_text("def unlearn(model, retain, forget, val):\n    return model\n")
    command = ("submit", str(entry), "--track", str(small), "--sandbox", "process", "--seeds", "1")
    result = run(*command, "--executor", own)
    assert result.exit_code == 0, result.output
    assert "; watched\n" in result.stderr and "closed" in result.stdout and "tasks" not in result.stdout


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("slurm", "there is no executor 'slurm'"),
        ("my_lab.slurm", "there is no module 'my_lab.slurm'"),
        ("my_lab", "there is no executor 'my_lab'"),
        ("json.decoder", "it has no connect"),
    ],
)
def test_an_unknown_one_is_refused_and_told_what_there_is(name: str, what: str, own: str, small: Path) -> None:
    result = run("prepare", str(small), "--executor", name)
    assert result.exit_code == 2 and what in result.stderr
    assert "use one of local, ray, or the dotted path of a module of yours with connect(options)" in result.stderr


def test_what_an_executor_of_your_own_lacks_is_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BenchError, match="no executor 'needy'"), connected(RunOptions(executor="needy")):
        pass
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "needy.py").write_text("import not_installed_here\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"), connected(RunOptions(executor="lab.needy")):
        pass
