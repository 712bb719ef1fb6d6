"""What the failure of an entry says of the sandbox, and where it happened."""

from __future__ import annotations

import builtins
import json
from types import ModuleType
from typing import Any

import pytest
import torch

from unlearn_bench.sandbox.inside import advice
from unlearn_bench.sandbox.inside.report import failure

TERMINAL = "there is no terminal in the sandbox"


def said(source: str) -> dict[str, Any]:
    """Run a file as the runner imports an entry; return what the host is told of its failure."""
    module = ModuleType("entry")
    try:
        exec(compile(source, "entry.py", "exec"), module.__dict__)
    except BaseException as error:
        report: dict[str, Any] = json.loads(failure(error))
        return report
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise EOFError('EOF when reading a line')", TERMINAL),
        ("import bdb\nraise bdb.BdbQuit", TERMINAL),
        ("import argparse\nargparse.ArgumentParser(prog='x').parse_args(['--seed=1'])", "no arguments in the sandbox"),
        (
            "raise RuntimeError('Found no NVIDIA driver on your system.')",
            "this unit has no GPU; use the model's device",
        ),
        ("raise AssertionError('Torch not compiled with CUDA enabled')", "this unit has no GPU"),
        ("open('/proc/version', 'w')", "only /tmp can be written"),
        ("raise OSError(30, 'Read-only file system', '/kaggle')", "'/kaggle'; only /tmp can be written"),
        ("import torch\ntorch.save({}, '/content/x/y.pt')", "only /tmp can be written"),
        ("import socket\nraise socket.gaierror('no name')", "there is no network in the sandbox"),
    ],
)
def test_what_the_sandbox_lacks_is_said_in_a_sentence(
    source: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if "/proc/version" in source:
        monkeypatch.setattr(builtins, "open", denied)
    report = said(source)
    assert report["status"] == "crash" and words in report["message"]


def denied(path: str, mode: str) -> None:
    raise PermissionError(13, "Permission denied", path)


def test_a_failure_names_the_line_of_the_entry_that_led_to_it() -> None:
    source = "import torch\n\n@torch.no_grad()\ndef train():\n    torch.ones(1).sum().backward()\n\ntrain()"
    assert said(source)["message"].endswith("does not have a grad_fn (line 5 of the entry)")


def test_a_long_message_leaves_room_for_the_line() -> None:
    assert said("raise ValueError('x' * 900)")["message"].endswith("x… (line 1 of the entry)")


def test_words_that_cannot_be_printed_are_no_failure_of_the_host() -> None:
    source = "class E(RuntimeError):\n    def __str__(self):\n        raise ValueError\nraise E"
    assert said(source)["message"] == "<unprintable> (line 4 of the entry)"


def test_only_the_back_end_that_needs_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", torch.compile)  # so that it is put back
    advice.refuse_compilers()
    assert "holds no compiler" in said("import torch\ntorch.compile(torch.nn.Linear(1, 1))")["message"]
    assert said("import torch\ntorch.nn.Linear(1, 1).compile()")["status"] == "invalid"
    assert torch.compile(torch.nn.Linear(1, 1), backend="eager")(torch.ones(1)).shape == (1,)
