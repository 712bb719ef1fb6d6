"""Entries as participants write them, and the outcome that every back end must give each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from unlearn_bench.sandbox.types import MIB, Status

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
class EntryCase:
    """An entry as a participant writes it, and the outcome that every back end must give it."""

    name: str
    source: str
    status: Status
    reason: str = ""
    changed: bool | None = None
    """Whether the weights differ from the original's."""
    log: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


CASES: tuple[EntryCase, ...] = (
    EntryCase("in place", FINE_TUNE, "ok", changed=True),
    EntryCase("dictionaries and a copy", DICTIONARIES, "ok", changed=True),
    EntryCase("three parameters, half", THREE_PARAMETERS, "ok", changed=True, fields={"parameters": {"scale": 0.5}}),
    EntryCase("wrapped again", WRAPPED_AGAIN, "ok", changed=True),
    EntryCase(
        "identity",
        "def unlearn(model, retain):\n print('seen')\n return model",
        "ok",
        changed=False,
        log="seen",
    ),
    EntryCase(
        "raises",
        "def unlearn(m, r):\n print('before')\n raise ValueError('bad\\nluck')",
        "crash",
        "ValueError: bad luck",
        log="before",
    ),
    EntryCase("sys.exit at import", "import sys\nsys.exit(3)", "crash", "SystemExit: 3"),
    EntryCase("os._exit", "import os\ndef unlearn(m, r): os._exit(4)", "crash", "exit code 4"),
    EntryCase(
        "segfault",
        "import ctypes\ndef unlearn(m, r): ctypes.string_at(0)",
        "crash",
        "SIGSEGV",
        log="Segmentation fault",
    ),
    EntryCase(
        "child holds the channel",
        "import os, time\ndef unlearn(m, r):\n if os.fork() == 0: time.sleep(60)\n os._exit(5)",
        "crash",
        "exit code 5",
    ),
    EntryCase("no unlearn", "x = 1", "invalid", "defines no function"),
    EntryCase(
        "does not apply",
        "from sandbox.toolkit import NotApplicable\ndef unlearn(m, r): raise NotApplicable('the network has no head')",
        "not-applicable",
        "the network has no head",
    ),
    EntryCase(
        "other architecture",
        "import torch\ndef unlearn(m, r): return torch.nn.Linear(2, 2)",
        "invalid",
        "another architecture",
    ),
    EntryCase(
        "NaN",
        "import torch\ndef unlearn(m, r): torch.nn.init.constant_(m.fc.weight, float('nan'))",
        "invalid",
        "not finite",
    ),
    EntryCase("too late", "import time\ndef unlearn(m, r): time.sleep(60)", "timeout", "3 s", fields={"deadline": 3.0}),
    EntryCase(
        "memory hog",
        "def unlearn(m, r):\n keep = []\n while True: keep.append(bytearray(b'x') * 2**24)",
        "oom",
        "1000 MiB",
        fields={"memory": 1000 * MIB},
    ),
    EntryCase("one huge tensor", "import torch\ndef unlearn(m, r): torch.empty(10**11)", "oom", "memory"),
    EntryCase(
        "prints a lot",
        "def unlearn(m, r):\n for i in range(20_000): print('y' * 1000)\n print('end')",
        "ok",
        changed=False,
        log="end",
    ),
    EntryCase("forges weights first", FORGED, "invalid", "weights"),
)
