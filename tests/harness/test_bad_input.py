"""Bad input ends with its exit code and three lines: what happened, whose it is, what to do. Nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units import unit_store

IDENTITY = "def unlearn(model, retain):\n    return model\n"


def expect(result: object, code: int, what: str, whose: str, remedy: str = "") -> None:
    from click.testing import Result

    assert isinstance(result, Result)
    lines = {line[:8].strip(): line[8:] for line in result.stderr.splitlines() if line[:8].strip().endswith(":")}
    assert result.exit_code == code, result.output
    assert what in lines["error:"]
    assert lines["whose:"] == whose
    assert remedy in lines["do:"]
    assert "Traceback" not in result.output


NOT_AN_ENTRY = {
    "syntax error": ("def unlearn(model:\n", 10, "line 1: syntax error"),
    "no unlearn": ("def forget(model, retain): ...\n", 10, "no function `unlearn`"),
    "unlearn assigned": ("unlearn = lambda model, retain: model\n", 10, "no function `unlearn`"),
    "too few parameters": ("def unlearn(model): ...\n", 10, "requires 1 positional"),
    "too many parameters": ("def unlearn(a, b, c, d, e): ...\n", 10, "requires 5 positional"),
    "no default": ("def unlearn(model, retain, *, lr): ...\n", 10, "parameter lr of unlearn has no default"),
    "foreign package": ("import tensorflow\n" + IDENTITY, 10, "imports tensorflow, which the image lacks"),
    "search space names nothing": ('SEARCH_SPACE = {"lr": ("log", 1, 2)}\n' + IDENTITY, 10, "names 'lr'"),
    "search space computes": ("SEARCH_SPACE = dict()\n" + IDENTITY, 10, "not a literal dictionary"),
    "deep nesting": ("x = " + "(" * 5000 + ")" * 5000 + "\n" + IDENTITY, 10, ""),
    "long title": (f'# /// script\n# [tool.bench]\n# title = "{"x" * 81}"\n# ///\n' + IDENTITY, 10, "title has more"),
    "bad metadata": ("# /// script\n# [tool.bench\n# ///\n" + IDENTITY, 10, "metadata block is not TOML"),
}


@pytest.mark.parametrize("name", NOT_AN_ENTRY)
def test_what_check_refuses(tmp_path: Path, name: str) -> None:
    source, code, words = NOT_AN_ENTRY[name]
    path = tmp_path / "mine.py"
    path.write_text(source)
    expect(run("check", str(path)), code, words, "your method")


def test_files_that_are_no_source(tmp_path: Path) -> None:
    expect(run("check", str(tmp_path / "none.py")), 2, "there is no file", "your command", "bench init")
    expect(run("check", str(tmp_path)), 10, "it has no __init__.py", "your method", "define unlearn")
    good, link = tmp_path / "good.py", tmp_path / "link.py"
    good.write_text(IDENTITY)
    link.symlink_to(good)
    expect(run("check", str(link)), 10, "is not a regular file", "your method")
    for content, words in ((b"#" * 65537, "65,537 bytes"), (b"# \xe9", "not UTF-8"), (b"# \0", "U+0000 NULL")):
        good.write_bytes(content)
        expect(run("check", str(good)), 10, words, "your method")


def test_imports_inside_try_are_the_entrys_own_affair(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("try:\n    import tensorflow\nexcept ImportError:\n    pass\n" + IDENTITY)
    assert run("check", str(path)).exit_code == 0


def test_a_package_that_only_the_full_image_has_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import torch\nimport torchvision\n" + IDENTITY)
    assert "it imports torchvision, which the small image of CPU tracks lacks" in run("check", str(path)).stdout


def test_nothing_of_an_entry_runs_when_it_is_checked(tmp_path: Path) -> None:
    path, mark = tmp_path / "mine.py", tmp_path / "mark"
    path.write_text(f"open({str(mark)!r}, 'w')\n" + IDENTITY)
    assert run("check", str(path)).exit_code == 0
    assert not mark.exists()


def test_unknown_track_parameter_and_baseline(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def unlearn(model, retain, *, lr=1.0): ...\n")
    expect(run("submit", str(path), "--track", "cifar11"), 2, "no track 'cifar11'", "your command", "cifar10-resnet18")
    expect(run("submit", str(path), "--set", "rate=2"), 10, "no parameter 'rate'", "your method", "it takes lr")
    expect(run("baselines", "ftt"), 2, "no baseline 'ftt'", "your command", "ft")
    expect(run("show", "nobody"), 2, "no entry 'nobody'", "your command")
    expect(run("submit", "ft"), 2, "ft is a shipped method", "your command", "bench baselines ft")
    assert run("submit", str(path), "--set", "2=3").exit_code == 2


def test_a_name_with_a_mistake_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "my_method.py"
    path.write_text("def unlearn(model, retain, *, lr=1.0): ...\n")
    expect(
        run("submit", str(path), "--track", "CIFAR10-resnet"), 2, "", "your command", "did you mean cifar10-resnet18?"
    )
    expect(run("submit", str(path), "--set", "lrr=2"), 10, "", "your method", "did you mean lr?")
    expect(run("submit", str(tmp_path / "my_metod.py")), 2, "", "your command", "did you mean my_method.py?")
    expect(run("submit", str(path), "--sandbox", "dokcer"), 2, "", "your command", "did you mean docker?")
    expect(run("submit", str(path), "--executor", "lokal"), 2, "", "your command", "did you mean local?")
    expect(run("baselines", "salum"), 2, "", "your command", "did you mean salun?")
    expect(run("show", "scrup"), 2, "", "your command", "did you mean scrub?")


def test_a_remedy_has_the_name_of_the_track() -> None:
    remedy = "bench prepare cifar10-resnet18 --download"
    expect(run("prepare", "cifar10-resnet18"), 20, "missing or damaged", "this machine", remedy)


def test_options_values_and_commands_are_corrected_as_well() -> None:
    for words in (("leaderboard", "--format", "htlm"), ("leaderbord",)):
        result = run(*words)
        assert result.exit_code == 2
        assert "did you mean html?" in result.stderr or "did you mean leaderboard?" in result.stderr


def test_names_that_the_board_could_not_show(tmp_path: Path) -> None:
    for name in ("a b", "\x1b[31mred", "x" * 65, "<script>"):
        path = tmp_path / f"{name}.py"
        path.write_text(IDENTITY)
        expect(run("check", str(path)), 10, "cannot be an entry's name", "your method")
    taken = tmp_path / "ft.py"
    taken.write_text(IDENTITY)
    expect(run("submit", str(taken)), 2, "name of a shipped method", "your command", "rename")


def test_an_engine_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    path = tmp_path / "mine.py"
    path.write_text(IDENTITY)
    result = run("submit", str(path), "--sandbox", "docker")
    expect(result, 20, "no container engine answers", "this machine", "install Docker")


def test_a_damaged_reference_model_is_named_before_anything_runs(
    prepared: References, small: Path, tmp_path: Path
) -> None:
    sha = prepared.manifest.roles["null/1"].logits  # no unit reads them
    damaged = prepared.store.root / "blobs" / sha[:2] / sha
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    path = tmp_path / "mine.py"
    path.write_text(IDENTITY)
    result = run("submit", str(path), "--track", str(small), "--sandbox", "process")
    expect(result, 20, str(damaged), "this machine", f"remove {damaged}")
    names = {record.name for record in unit_store.seed_records(prepared.store, prepared.track)}
    assert names == {"retrain"}, "a unit ran with damaged references"


RUNTIME = {
    "raises": ("def unlearn(model, retain):\n    raise ValueError('no idea')\n", 11, "crash: ValueError: no idea"),
    "another architecture": (
        "import torch\ndef unlearn(model, retain):\n    return torch.nn.Linear(2, 2)\n",
        10,
        "invalid: ",
    ),
    "NaN": (
        "def unlearn(model, retain):\n    model.fc.weight.data.fill_(float('nan'))\n    return model\n",
        10,
        "invalid: ",
    ),
    "finite weights, infinite outputs": (
        "def unlearn(model, retain):\n    model.fc.weight.data.fill_(3e38)\n    return model\n",
        10,
        "outputs are not finite",
    ),
    "never ends": ("def unlearn(model, retain):\n    while True: pass\n", 13, "timeout: "),
    "allocates without end": (
        "def unlearn(model, retain):\n    a = []\n    while True: a.append(bytearray(2**26))\n",
        12,
        "oom: ",
    ),
    "prints without end": ("def unlearn(model, retain):\n    while True: print('x' * 10_000)\n", 13, "timeout: "),
}


@pytest.mark.parametrize(
    "name", [name if name == "raises" else pytest.param(name, marks=pytest.mark.slow) for name in RUNTIME]
)
def test_what_goes_wrong_inside(prepared: References, small: Path, tmp_path: Path, name: str) -> None:
    source, code, words = RUNTIME[name]
    path = tmp_path / "mine.py"
    path.write_text(source)
    seeds = () if name == "raises" else ("--seeds", "1")
    result = run("submit", str(path), "--track", str(small), "--sandbox", "process", *seeds)
    expect(result, code, words, "your method")
    if name == "raises":
        log = next(line[8:] for line in result.stderr.splitlines() if line.startswith("log:"))
        assert "no idea" in Path(log).read_text()
        assert "0/2 seeds ok" in result.stdout, "the verdict stands even then"
        again = run("submit", str(path), "--track", str(small), "--sandbox", "process")
        expect(again, code, words, "your method")
        assert "to run" not in again.stderr, "a failed entry is not run again unless asked for"
