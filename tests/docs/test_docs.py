"""Documents: every command in them is one that exists, and the three guides run from top to bottom."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import pytest

from tests.harness import forked, warm_command
from tests.harness.conftest import SMALL, believe_stored_times, once, run, undisturbed
from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.tracks import loading
from unlearn_bench.sandbox.backends import docker

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "*/*.md", "harness/*/*.md", "sandbox/*/*.md", "tests/*/*.md")
PAGES = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))
GUIDES = ("participant", "organiser", "reader")
COMMAND = re.compile(r"(?<![\w/.-])bench [a-z][^`\n|#;]*")
PLACEHOLDERS = {"…", "..."}


def commands() -> Iterator[tuple[str, str]]:
    """(page, command) of all that stands in code."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M)
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
        for code in (*blocks, *inline):
            for found in COMMAND.findall(code):
                yield str(page.relative_to(ROOT)), found.split(" > ")[0].split(" && ")[0].split(" || ")[0].strip()


def test_every_command_in_the_documents_can_be_typed() -> None:
    found = list(dict.fromkeys(commands()))
    assert len(found) > 60
    wrong = [f"{page}: {command}: {why}" for page, command in found if (why := mistake(command))]
    assert wrong == []


def mistake(command: str) -> str:
    """What click says of a command without running it; ``[…]`` marks what may be left out, and stays in."""
    words = shlex.split(re.sub(r"[\[\]]", " ", command.replace("\\|", "|")).split("|")[0])[1:]
    words = [word for word in words if word not in PLACEHOLDERS]
    verb, arguments = words[0], words[1:]
    subcommand = bench.get_command(click.Context(bench), verb)
    if subcommand is None:
        return "no such command"
    known = {name for option in subcommand.params for name in option.opts}
    for word in arguments:
        if word.startswith("-") and word.partition("=")[0] not in known | {"--help", "-h"}:
            return f"no option {word}"
    return ""


def blocks(guide: str) -> list[str]:
    text = (ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
    return re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M)


def smallest() -> str:
    """Return a track of four seeds on which every training takes a few steps."""
    text = SMALL.replace("\nseeds = 2\n", "\nseeds = 4\n")
    for key, value in {"retain": 96, "forget": 32, "val": 32, "test": 64, "epochs": 2, "batch_size": 32}.items():
        text = re.sub(rf"^{key} = \d+$", f"{key} = {value}", text, flags=re.M)
    return text


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which two baselines stand on the default track, which is a tiny one here; to be copied."""

    def make(place: Path) -> None:
        (place / "catalogue").mkdir()
        (place / "catalogue" / "digits-resnet18.toml").write_text(smallest())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loading, "CATALOGUE", place / "catalogue")
            undisturbed()
            result = run("baselines", "ct", "ft", "--sandbox", "process")
        assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "rehearsal", make).parent


def rehearse(catalogue: Path) -> None:
    """Make a tiny track the only one, and let forked units, which nothing confines, stand for containers."""
    loading.CATALOGUE = catalogue
    docker.create = Contained
    believe_stored_times()


class Contained(forked.WarmUnits):
    name, trusted, preference = "docker", True, docker.Docker.preference


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_runs_from_top_to_bottom(guide: str, rehearsal: Path, tmp_path: Path) -> None:
    home, programs = tmp_path / "home", tmp_path / "bin"
    programs.mkdir()
    shutil.copytree(rehearsal / "home", home / "store")
    environment = {**os.environ, "HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
    environment |= {"BENCH_HOME": str(home / "store"), "BENCH_LOCKS": str(tmp_path / "locks")}
    script = ["bash", "-c", "set -euo pipefail\n" + "\n".join(blocks(guide))]
    with warm_command.program(programs / "bench", partial(rehearse, rehearsal / "catalogue")):
        done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if guide == "participant":
        assert "4/4 seeds ok" in done.stdout
    else:
        assert (tmp_path / "site" / "index.html").is_file()


def test_the_example_of_own_outputs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    (program,), (commands_to_run,) = (
        re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M) for language in ("python", "bash")
    )
    (tmp_path / "save_outputs.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "save_outputs.py"], check=True, timeout=60)
    for line in commands_to_run.splitlines()[1:]:
        result = run(*shlex.split(line, comments=True)[1:])
        assert result.exit_code == 0, result.output
        assert "etdev" in result.stdout.lower()
