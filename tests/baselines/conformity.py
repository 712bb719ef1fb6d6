"""What an entry must keep to, as named faults of one observed run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.baselines.conftest import tiny_problem
from tests.baselines.observers import Observed, measured, observe
from unlearn_bench.harness.entries import entry
from unlearn_bench.sandbox.inside import adapter

SETS = {"R": "retain", "F": "forget", "V": "val"}

# What the rules leave to a submission and the baselines, as models to copy, have no use for: loader workers, a folder
# for temporary files, a device named in the file, a set declared in case it is needed.
LEFT_TO_SUBMISSIONS = {"device", "processes", "scratch", "idle declaration"}

STEPS = 1.6
"""Peak memory in units of a plain training step's, beside the data. BT has 1.55 on the ResNet: two teachers; NG+ 1.31
on the TinyViT: the activations of two batches."""
COPIES = 4.2
"""Memory in the shape of weights, in models, beside the model itself. BT, FCS, GA, IU and SCRUB have 4 at once. Keeping
one from each of the six steps of a shortened run makes 8, with gradients and momentum."""
ROWS = 2.5
"""Beyond that, models per sample of R for a method that differentiates sample by sample: the toolkit's matrix, as much
for the work, and what one operator copies. IU reaches 94 % of all this on the TinyViT; that it holds at most two blocks
of 1 GiB shows on large models alone."""


@dataclass(frozen=True)
class Limits:
    peak: float
    copies: float


@cache
def plain_step(architecture: str) -> int:
    """Peak bytes of plain SGD with momentum on batches of the problem's size: gradients, momentum, activations."""
    model, (retain, _, _) = tiny_problem(architecture)
    model.train()
    with measured(model, []) as memory:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for images, labels in list(retain)[:2]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return memory.most["peak"]


@cache
def limits(architecture: str, by_sample: bool) -> Limits:
    model, loaders = tiny_problem(architecture)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    data = sum(4 * loader.dataset.images.numel() for loader in loaders)  # type: ignore[attr-defined]
    peak = STEPS * plain_step(architecture) + data
    if by_sample:
        samples = len(loaders[0].dataset)  # type: ignore[arg-type]
        peak = peak * samples / loaders[0].batch_size + ROWS * samples * size  # type: ignore[operator]
    return Limits(peak, COPIES * size)


@cache
def shortened(path: Path) -> dict[str, Any]:
    """Parameters for a run of a moment."""
    defaults = entry.read(path).defaults
    short = {name: min(value, 2 if name == "epochs" else 1) for name, value in defaults.items() if "epochs" in name}
    short |= {name: min(value, 5) for name, value in defaults.items() if name.endswith("steps")}
    return short | {name: 16 for name in defaults if name.endswith("batch_size")}


def declared_reads(path: Path) -> set[str]:
    """The sets named in the first sentence after ``Reads:`` in the docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = re.search(r"Reads: ([^.]*)\.", text)
    return {SETS[letter] for letter in re.findall(r"\b[RFV]\b", found[1])} if found else set(SETS.values())


def run(
    unlearn: Callable[..., Any], architecture: str, declared: set[str], capfd: pytest.CaptureFixture[str], **chosen: Any
) -> Observed:
    """One observed run on the tiny problem with the parameters ``chosen``."""
    plain_step(architecture)  # a process's first training imports parts of torch, which is not the entry's doing
    model, loaders = tiny_problem(architecture)
    module = SimpleNamespace(unlearn=unlearn)
    return observe(lambda model, given: adapter.call(module, model, given, chosen), model, loaders, declared, capfd)


def faults(seen: Observed, architecture: str, declared: set[str], limit: Limits) -> dict[str, Any]:
    """Every property that a run lacks, by name, with what shows it."""
    model, loaders = tiny_problem(architecture)
    finite = [name for name, tensor in seen.state.items() if not tensor.isfinite().all()]
    outputs_finite = True
    if seen.state and not finite:
        model.load_state_dict(seen.state)
        with torch.no_grad():
            outputs_finite = bool(model.eval()(next(iter(loaders[2])).image).isfinite().all())
    found: dict[str, Any] = {
        "error": seen.error,
        "architecture": seen.misfit,
        "finite": finite,
        "outputs": "" if outputs_finite else "not finite in eval mode",
        "device": seen.device_faults,
        "data": seen.changed,
        "reads": seen.read - declared,
        "idle declaration": declared - seen.read,
        "output": seen.output,
        "files": seen.files,
        "scratch": seen.scratch,
        "network": seen.network,
        "processes": seen.processes,
        "memory": f"{seen.peak} of {limit.peak:.0f} bytes" if seen.peak > limit.peak else "",
        "copies": f"{seen.copies} of {limit.copies:.0f} bytes" if seen.copies > limit.copies else "",
    }
    return {name: what for name, what in found.items() if what}
