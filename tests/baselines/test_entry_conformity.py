"""What every file in baselines/ and submissions/ must satisfy; files are found by folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import entries
from sandbox.inside import adapter, models
from tests.baselines.conftest import ENTRIES, SPECS, load_entry

SETS = {"R": "retain", "F": "forget", "V": "val"}


def shortened(path: Path) -> dict[str, Any]:
    """Parameters for a run of a moment."""
    defaults = entries.read(path).defaults
    short = {name: min(value, 2 if name == "epochs" else 1) for name, value in defaults.items() if "epochs" in name}
    return short | {name: 16 for name in defaults if name.endswith("batch_size")}


def declared_reads(path: Path) -> set[str]:
    """The sets named in the first sentence after ``Reads:`` in the docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = re.search(r"Reads: ([^.]*)\.", text)
    return {SETS[letter] for letter in re.findall(r"\b[RFV]\b", found[1])} if found else set(SETS.values())


class Spy:
    """A loader that notes whether anything was asked of it."""

    def __init__(self, loader: Any) -> None:
        self._loader, self.touched = loader, False

    def __iter__(self) -> Iterator[Any]:
        self.touched = True
        return iter(self._loader)

    def __len__(self) -> int:
        self.touched = True
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        self.touched = True
        return getattr(self._loader, name)


def inside(value: Any, rule: Any) -> bool:
    """Whether a default lies in its search space; an upper end may be a name that the track resolves."""
    kind, *ends = rule
    if kind == "choice":
        return value in ends[0]
    low, high = ends
    if kind == "log" and value == 0:  # switched off, which no logarithmic range contains
        return True
    whole = kind != "int" or isinstance(value, int)
    return whole and low <= value and (isinstance(high, str) or value <= high)


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_declarations_are_complete(path: Path) -> None:
    entry = entries.read(path)  # raises on what `bench check` refuses
    assert {"title", "authors", "paper", "licence"} <= entry.metadata.keys()
    assert 0 < len(entry.title) <= 80
    assert entry.summary.endswith(".")
    assert set(entry.search_space) <= set(entry.defaults)
    for name, rule in entry.search_space.items():
        assert inside(entry.defaults[name], rule), f"{name} = {entry.defaults[name]} is not in {rule}"
    body = ast.parse(path.read_text(encoding="utf-8")).body
    (function,) = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "unlearn"]
    assert [argument.arg for argument in function.args.args] == ["model", "retain", "forget", "val"]


@pytest.mark.parametrize("path", [p for p in ENTRIES if p.parent.name == "baselines"], ids=lambda path: path.stem)
def test_baselines_cite_and_state_their_cost(path: Path) -> None:
    entry = entries.read(path)
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert entry.metadata["paper"].startswith("https://")
    assert "Reads: " in text and "Cost: " in text and "Deep Unlearn, section" in text
    assert bool(entry.search_space) == (entry.metadata.get("kind") != "reference")


@pytest.mark.parametrize("architecture", SPECS)
@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_runs_on_both_architectures(
    path: Path, architecture: str, tiny: Callable[[str], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    model, loaders = tiny(architecture)
    before = [(loader.dataset.images.clone(), loader.dataset.labels.clone()) for loader in loaders]
    spies = dict(zip(SETS.values(), map(Spy, loaders), strict=True))

    result = adapter.call(load_entry(path), model, tuple(spies.values()), shortened(path))

    state, expected = result.state_dict(), models.build(SPECS[architecture]).state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in expected.items()}
    assert all(tensor.isfinite().all() for tensor in state.values())
    with torch.no_grad():
        assert result.eval()(next(iter(loaders[2])).image).isfinite().all()
    for (images, labels), loader in zip(before, loaders, strict=True):
        assert torch.equal(images, loader.dataset.images) and torch.equal(labels, loader.dataset.labels)
    assert {name for name, spy in spies.items() if spy.touched} <= declared_reads(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", [p for p in ENTRIES if p.parent.name == "baselines"], ids=lambda path: path.stem)
def test_baselines_read_all_that_they_declare(path: Path, tiny: Callable[[str], Any]) -> None:
    model, loaders = tiny("resnet")
    spies = dict(zip(SETS.values(), map(Spy, loaders), strict=True))
    adapter.call(load_entry(path), model, tuple(spies.values()), shortened(path))
    assert {name for name, spy in spies.items() if spy.touched} == declared_reads(path)
