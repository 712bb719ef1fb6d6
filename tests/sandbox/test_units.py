"""Whole units on every back end: entries as participants write them, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from unlearn_bench.sandbox import stage
from unlearn_bench.sandbox.backends import load as load_backend
from unlearn_bench.sandbox.inside import runner
from unlearn_bench.sandbox.types import MIB, Job, Sandbox, Status

FINE_TUNE = """
import torch
from torch import nn

def unlearn(net, retain_loader, forget_loader, val_loader):
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    net.train()
    for inputs, targets in retain_loader:
        optimiser.zero_grad()
        loss(net(inputs), targets).backward()
        optimiser.step()
    net.eval()
"""

DICTIONARIES = """
import copy
import torch

def unlearn(net, retain_loader, forget_loader, val_loader):
    student = copy.deepcopy(net)
    student.train()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    for sample in retain_loader:
        outputs = student(sample["image"])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(outputs, sample["age_group"]).backward()
        optimiser.step()
    return student
"""

THREE_PARAMETERS = """
import torch

def unlearn(model, retain, forget, *, scale=1.0):
    assert scale == 0.5
    with torch.no_grad():
        for images, _ in forget:
            model.fc.bias += scale * images.mean()
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model.train().half()
"""

WRAPPED_AGAIN = """
import torch
from torch.utils.data import ConcatDataset, DataLoader

def unlearn(model, retain_loader, forget_loader, val_loader):
    both = ConcatDataset([retain_loader.dataset, forget_loader.dataset])
    batches = DataLoader(both, batch_size=8, shuffle=True, num_workers=2)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    model.train()
    for batch in batches:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch["image"]), batch["label"]).backward()
        optimiser.step()
    return model
"""

SEEDED = """
import random
import numpy
import torch

numbers = torch.tensor([random.random(), numpy.random.rand(), torch.rand(())])

def unlearn(model, retain, forget, val):
    order = next(iter(retain)).label
    with torch.no_grad():
        model.fc.bias.copy_(numbers + order[:3])
"""

FORGED = """
import os, stat, struct

def unlearn(model, retain):
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b"W" + struct.pack("<Q", 4) + b"junk")
        except OSError:
            pass
    return model
"""


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    status: Status
    reason: str = ""
    changed: bool | None = None
    """Whether the weights differ from the original's."""
    log: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    slow: bool = False


CASES = [
    Case("in place", FINE_TUNE, "ok", changed=True),
    Case("dictionaries and a copy", DICTIONARIES, "ok", changed=True, slow=True),
    Case(
        "three parameters, half", THREE_PARAMETERS, "ok", changed=True, fields={"parameters": {"scale": 0.5}}, slow=True
    ),
    Case("wrapped again", WRAPPED_AGAIN, "ok", changed=True),
    Case(
        "identity",
        "def unlearn(model, retain):\n print('seen')\n return model",
        "ok",
        changed=False,
        log="seen",
        slow=True,
    ),
    Case(
        "raises",
        "def unlearn(m, r):\n print('before')\n raise ValueError('bad\\nluck')",
        "crash",
        "ValueError: bad luck",
        log="before",
    ),
    Case("sys.exit at import", "import sys\nsys.exit(3)", "crash", "SystemExit: 3", slow=True),
    Case("os._exit", "import os\ndef unlearn(m, r): os._exit(4)", "crash", "exit code 4"),
    Case(
        "segfault",
        "import ctypes\ndef unlearn(m, r): ctypes.string_at(0)",
        "crash",
        "SIGSEGV",
        log="Segmentation fault",
        slow=True,
    ),
    Case(
        "child holds the channel",
        "import os, time\ndef unlearn(m, r):\n if os.fork() == 0: time.sleep(60)\n os._exit(5)",
        "crash",
        "exit code 5",
        slow=True,
    ),
    Case("no unlearn", "x = 1", "invalid", "defines no function", slow=True),
    Case(
        "other architecture",
        "import torch\ndef unlearn(m, r): return torch.nn.Linear(2, 2)",
        "invalid",
        "another architecture",
    ),
    Case(
        "NaN",
        "import torch\ndef unlearn(m, r): torch.nn.init.constant_(m.fc.weight, float('nan'))",
        "invalid",
        "not finite",
    ),
    Case("too late", "import time\ndef unlearn(m, r): time.sleep(60)", "timeout", "3 s", fields={"deadline": 3.0}),
    Case(
        "memory hog",
        "def unlearn(m, r):\n keep = []\n while True: keep.append(bytearray(b'x') * 2**24)",
        "oom",
        "1000 MiB",
        fields={"memory": 1000 * MIB},
        slow=True,
    ),
    Case("one huge tensor", "import torch\ndef unlearn(m, r): torch.empty(10**11)", "oom", "memory", slow=True),
    Case(
        "prints a lot",
        "def unlearn(m, r):\n for i in range(20_000): print('y' * 1000)\n print('end')",
        "ok",
        changed=False,
        log="end",
        slow=True,
    ),
    Case("forges weights first", FORGED, "invalid", "weights"),
]


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.slow else []) for case in CASES]
)
def test_unit(case: Case, backend: Sandbox, make_job: Callable[..., Job], private_tmp: Path) -> None:
    job = make_job(case.source, **case.fields)
    outcome = backend.run(job, nullcontext())
    assert outcome.status == case.status, outcome
    assert case.reason in outcome.reason and "\n" not in outcome.reason
    assert bool(outcome.reason) == (case.status != "ok")
    assert case.log in outcome.log
    assert outcome.environment["backend"] == backend.name and outcome.environment["trusted"] == backend.trusted
    assert "torch" in outcome.environment
    assert (outcome.weights is not None) == (outcome.seconds is not None) == (case.status == "ok")
    if outcome.weights is not None:
        original = load(job.weights)
        differs = any(not np.array_equal(outcome.weights[name], original[name]) for name in original)
        assert differs == case.changed
        assert {name: array.dtype for name, array in outcome.weights.items()} == {
            n: a.dtype for n, a in original.items()
        }
        assert outcome.cpu_seconds is not None and outcome.peak_memory is not None and outcome.peak_memory > 50 * MIB
    assert list(private_tmp.glob("unlearn-bench-unit-*")) == [], "a unit left files behind"


@pytest.mark.slow
def test_a_unit_repeats_itself_from_its_seed(backend: Sandbox, make_job: Callable[..., Job]) -> None:
    first, again, other = (
        backend.run(make_job(SEEDED, seed=seed), nullcontext()).weights for seed in (2**40, 2**40, 1)
    )
    assert first is not None and again is not None and other is not None
    np.testing.assert_array_equal(first["fc.bias"], again["fc.bias"])
    assert not np.array_equal(first["fc.bias"], other["fc.bias"])


@pytest.mark.gpu
def test_a_unit_runs_on_a_gpu(make_job: Callable[..., Job]) -> None:
    outcome = load_backend("process").run(make_job(FINE_TUNE, device="cuda:0"), nullcontext())
    assert outcome.status == "ok", outcome.reason
    assert outcome.weights is not None and " " in str(outcome.environment["device"])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def test_a_device_can_be_woken(device: str) -> None:
    """On a CPU there is nothing to wake, and the same code runs."""
    runner.wake(device)


@pytest.mark.parametrize(("device", "woken"), [("cpu", []), ("meta", ["meta"])])
def test_all_but_a_cpu_is_awake_before_the_unit_is_ready(
    device: str, woken: list[str], make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(runner, "wake", seen.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda count: None)  # a process may set it only once
    with stage.staged(make_job(FINE_TUNE)) as folder:
        path = folder / "job.json"
        path.write_text(path.read_text().replace('"device": "cpu"', f'"device": "{device}"'))
        runner.LoadedJob(folder)
    assert seen == woken
