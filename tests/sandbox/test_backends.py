from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from unlearn_bench.sandbox import backends
from unlearn_bench.sandbox.backends import SandboxUnavailable, choose, load, names
from unlearn_bench.sandbox.types import MIB, Job

SPEC = {"name": "resnet18_narrow", "classes": 3, "width": 2}


class Fake:
    def __init__(self, name: str, reason: str | None) -> None:
        backend = load(name)
        self.name, self.reason, self.trusted = name, reason, backend.trusted
        self.preference, self.description = backend.preference, backend.description

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        return self.reason


def pretend(monkeypatch: pytest.MonkeyPatch, **reasons: str | None) -> None:
    fakes = {name: Fake(name, reason) for name, reason in reasons.items()}
    monkeypatch.setattr(backends, "load", fakes.__getitem__)
    monkeypatch.setattr(backends, "names", lambda: list(reasons))


def test_back_ends_are_found_by_folder() -> None:
    assert {"docker", "process"} <= set(names())
    assert [load(name).name for name in ("docker", "process")] == ["docker", "process"]
    assert load("docker").trusted and not load("process").trusted


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable folder outside of the repository."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


MINE = """
from unlearn_bench.sandbox.backends.process import Process

class Mine(Process):
    name, preference = {name!r}, 200

def create():
    return Mine()
"""


def test_a_module_elsewhere_is_loaded_by_its_dotted_path(elsewhere: Path) -> None:
    (elsewhere / "one_pkg").mkdir()
    (elsewhere / "one_pkg" / "mine.py").write_text(MINE.format(name="one_pkg.mine"))
    assert load("one_pkg.mine").name == "one_pkg.mine"


def test_a_module_elsewhere_cannot_take_the_name_of_a_trusted_one(elsewhere: Path) -> None:
    (elsewhere / "two_pkg").mkdir()
    (elsewhere / "two_pkg" / "mine.py").write_text(MINE.format(name="docker"))
    with pytest.raises(SandboxUnavailable, match=r"'two_pkg.mine' calls itself 'docker'; set its `name`"):
        load("two_pkg.mine")


@pytest.mark.parametrize("name", ["no_pkg.mine", "three_pkg.mine", "three_pkg", ".x", "os."])
def test_an_unknown_name_says_what_is_allowed_and_how_to_add_one(name: str, elsewhere: Path) -> None:
    (elsewhere / "three_pkg").mkdir()
    with pytest.raises(SandboxUnavailable, match=r"docker or docker:RUNTIME, .*process.*, or the dotted path"):
        load(name)


def test_a_module_that_lacks_what_it_imports_says_so(elsewhere: Path) -> None:
    (elsewhere / "four_pkg").mkdir()
    (elsewhere / "four_pkg" / "mine.py").write_text("import no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load("four_pkg.mine")


def test_a_new_file_in_the_folder_is_all_that_a_back_end_needs(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(names())
    (elsewhere / "newest.py").write_text(MINE.format(name="newest"))
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(elsewhere)])
    assert set(names()) == before | {"newest"}
    assert backends.by_preference()[0].name == "newest"
    backend, line = choose("auto", SPEC, "cpu")
    assert backend.name == "newest" and "results are marked untrusted" in line
    assert not backends.is_trusted("newest")


def test_no_module_is_imported_for_a_name_in_a_strangers_file(elsewhere: Path) -> None:
    (elsewhere / "five_pkg").mkdir()
    (elsewhere / "five_pkg" / "mine.py").write_text("raise SystemExit")
    with pytest.raises(SandboxUnavailable, match=r"can be trusted here: .*docker"):
        backends.is_trusted("five_pkg.mine")


def test_docker_takes_another_runtime_by_name() -> None:
    backend = load("docker:runsc")
    assert backend.name == "docker:runsc" and backend.trusted
    for name in ("docker:", "process:runsc", "dokcer:runsc"):
        with pytest.raises(SandboxUnavailable, match=f"'{name}'.*docker:RUNTIME"):
            load(name)


def test_auto_prefers_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, docker=None, process=None)
    backend, line = choose("auto", SPEC, "cpu")
    assert backend.name == "docker" and "not a sandbox" not in line


def test_auto_falls_back_with_the_reason_and_a_plain_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, docker="no engine; install one", process=None)
    backend, line = choose("auto", SPEC, "cpu")
    assert backend.name == "process"
    assert "no engine; install one" in line and "not a sandbox" in line and "\n" not in line


@pytest.mark.parametrize("name", ["docker", "auto"])
def test_what_is_not_usable_is_never_replaced_silently(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend(monkeypatch, docker="no engine; install one", process="no Linux; use docker")
    with pytest.raises(SandboxUnavailable) as caught:
        choose(name, SPEC, "cpu")
    assert caught.value.what and caught.value.remedy in ("install one", "use docker")


def test_no_engine_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, make_job: Callable[..., Job]) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    reason = load("docker").unavailable(SPEC, "cpu")
    assert reason is not None and "engine" in reason and "; install" in reason
    outcome = load("docker").run(make_job("x = 1"), nullcontext())
    assert outcome.status == "infra" and "engine" in outcome.reason


@pytest.mark.slow
def test_process_keeps_limits_and_cores_and_a_folder_and_session_of_its_own(make_job: Callable[..., Job]) -> None:
    source = """
import os, resource, sys

def unlearn(model, retain):
    print(os.sched_getaffinity(0), os.getcwd() == os.environ["HOME"], os.getsid(0) == os.getpid())
    limits = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA)
    print([resource.getrlimit(which)[1] for which in limits])
"""
    core = max(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    log = load("process").run(make_job(source, cpus=(core,)), nullcontext()).log
    assert f"{{{core}}} True True" in log
    assert f"[0, {32 * MIB}, {3072 * MIB}]" in log
    assert os.sched_getaffinity(0) == before


@pytest.mark.slow
def test_process_counts_the_memory_of_all_its_processes(make_job: Callable[..., Job]) -> None:
    source = """
import os, time

def unlearn(model, retain):
    for _ in range(3):
        if os.fork() == 0:
            keep = bytearray(b"x") * (300 << 20)
            time.sleep(60)
    time.sleep(60)
"""
    outcome = load("process").run(make_job(source, memory=1200 * MIB), nullcontext())
    assert outcome.status == "oom" and "1200 MiB" in outcome.reason
