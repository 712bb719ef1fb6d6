"""The structure of the workflows: who may do what, and that no foreign text reaches a shell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
SCORING = ("gate", "score", "publish")
"""The workflows that a submission passes through."""
NAMES = (*SCORING, "tests")
PIN = re.compile(r"uses: [A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+")
LOCAL = "./.github/workflows/publish.yml"


def load(name: str) -> dict[str, Any]:
    document: dict[Any, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    document["on"] = document.pop(True)  # YAML 1.1 reads the key `on` as a truth value
    return document


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", ())


def test_these_are_all_workflows() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.yml" for name in NAMES}


def test_who_starts_what() -> None:
    assert set(load("gate")["on"]) == {"pull_request"}
    assert set(load("score")["on"]) == {"workflow_dispatch"}
    assert set(load("publish")["on"]) == {"workflow_call"}, "only score starts it, with what score was started with"
    inputs = load("score")["on"]["workflow_dispatch"]["inputs"]
    assert inputs["pull_request"]["required"] and inputs["head"]["required"]
    assert not inputs["allow_change"]["default"]
    assert "default_branch" in load("score")["jobs"]["bundle"]["if"], "started on another branch it does nothing"
    assert set(load("tests")["on"]) == {"push", "pull_request", "schedule", "workflow_dispatch"}
    for name in NAMES:
        assert "pull_request_target" not in (FOLDER / f"{name}.yml").read_text()


def test_permissions_are_what_each_job_needs() -> None:
    found = {(name, job): about["permissions"] for name in NAMES for job, about in load(name)["jobs"].items()}
    write = {"contents": "write", "pull-requests": "write"}
    page = {"pages": "write", "id-token": "write"}
    assert found == {
        ("gate", "gate"): {"contents": "read"},
        ("score", "bundle"): {"contents": "read"},
        ("score", "score"): {},
        ("score", "publish"): write | page,
        ("publish", "publish"): write,
        ("publish", "page"): page,
        ("tests", "check"): {"contents": "read"},
        ("tests", "test"): {"contents": "read"},
    }
    assert all(load(name)["permissions"] == {} for name in NAMES), "a job without permissions of its own has none"


def test_the_machine_that_runs_entries_holds_no_token_and_no_secret() -> None:
    job = load("score")["jobs"]["score"]
    assert "self-hosted" in job["runs-on"] and "gpu" in job["runs-on"]
    text = yaml.safe_dump(job)
    assert not re.search(r"github\.token|secrets\.|GH_TOKEN|GITHUB_TOKEN|actions/checkout|id-token", text)
    hosted = [about["runs-on"] for name in NAMES for about in load(name)["jobs"].values() if "runs-on" in about]
    assert hosted.count("ubuntu-24.04") == len(hosted) - 1, "every other job is on a hosted runner"


@pytest.mark.parametrize("name", ["gate", "tests"])
def test_what_a_pull_request_starts_has_no_secrets_and_writes_no_cache(name: str) -> None:
    text = (FOLDER / f"{name}.yml").read_text()
    assert not re.search(r"\$\{\{ *secrets", text) and "actions/cache" not in text and "cache:" not in text


def test_gate_runs_the_code_of_the_base_branch() -> None:
    assert "ref: ${{ github.event.pull_request.base.sha }}" in (FOLDER / "gate.yml").read_text()


def test_every_push_is_checked_on_every_python_and_the_rest_is_nightly() -> None:
    jobs = load("tests")["jobs"]
    pythons = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert pythons == ">=3.11" and jobs["check"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "if" not in jobs["check"]
    assert not re.search(r"github\.token|GITHUB_TOKEN", (FOLDER / "tests.yml").read_text())
    assert "schedule" in jobs["test"]["if"] and "push" not in jobs["test"]["if"]


def test_the_checks_are_the_commands_that_the_readme_names() -> None:
    jobs = load("tests")["jobs"]
    run = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert run == {"check": ["make check"], "test": ["make test"]}
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    readme, makefile = ((ROOT / name).read_text() for name in ("README.md", "Makefile"))
    for target in ("check", "test"):
        assert f"\nmake {target} " in readme
        assert re.search(rf"^{target}: .*\n(\t.*\n)*\t\$\(MAKE\) -j2 lint ", makefile, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_and_leaves_no_credentials(name: str) -> None:
    lines = [line.strip().removeprefix("- ") for line in (FOLDER / f"{name}.yml").read_text().splitlines()]
    uses = [line for line in lines if line.startswith("uses:")]
    assert uses
    for line in uses:
        assert PIN.fullmatch(line) or line.startswith(f"uses: {LOCAL}"), line
    for step in steps(load(name)):
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", NAMES)
def test_no_foreign_text_is_put_into_a_script(name: str) -> None:
    for step in steps(load(name)):
        assert "${{" not in step.get("run", ""), step
        for key, value in step.get("env", {}).items():
            assert re.fullmatch(r"[A-Z_]+", key)
            assert not re.search(r"title|body|head\.ref|head_ref|label|login|message", str(value)), value


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_shell_and_quote_what_they_are_given(name: str) -> None:
    for step in steps(load(name)):
        script = step.get("run")
        if script is None:
            continue
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        for variable in step.get("env", {}):
            bare = re.search(rf'(?<!["\w:+{{]){re.escape("$" + variable)}\b(?![^"\n]*")', script)
            assert bare is None or variable in ("SERVER", "ALLOW"), (variable, script)


def test_the_commands_in_the_workflows_exist_with_these_options() -> None:
    from unlearn_bench.harness.cli import bench

    text = "\n".join((FOLDER / f"{name}.yml").read_text() for name in NAMES) + (ROOT / "docs/gitlab-ci.yml").read_text()
    text = text.replace("\\\n", " ")
    calls = re.findall(r"\.venv/bin/bench ([a-z-]+)((?:[^\n|]|\|(?!\|))*)", text)
    assert {verb for verb, _ in calls} == {"image", "score-pr", "publish", "leaderboard"}
    for verb, rest in calls:
        command = bench.get_command(None, verb)  # type: ignore[arg-type]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", rest)) <= known, (verb, rest)


def test_gitlab_has_the_same_three_steps() -> None:
    document = yaml.safe_load((ROOT / "docs/gitlab-ci.yml").read_text())
    assert document["stages"] == list(SCORING)
    assert "--smoke" in yaml.safe_dump(document["gate"])
    assert "BOARD_TOKEN" not in yaml.safe_dump(document["gate"]) + yaml.safe_dump(document["score"])


def test_zizmor_finds_nothing() -> None:
    found = shutil.which("zizmor", path=str(Path(sys.executable).parent)) or shutil.which("zizmor")
    assert found, "zizmor is one of the test requirements"
    done = subprocess.run([found, "--offline", "--quiet", str(FOLDER)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing() -> None:
    found = shutil.which("actionlint")
    if found is None:
        pytest.skip("actionlint is not installed")
    done = subprocess.run([found], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
