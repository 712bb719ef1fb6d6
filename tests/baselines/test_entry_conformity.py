"""What every file in baselines/ and submissions/ must satisfy; files are found by folder."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.baselines.conformity import LEFT_TO_SUBMISSIONS, declared_reads, faults, limits, run, shortened
from tests.baselines.conftest import ENTRIES, SPECS, load_entry, tiny_problem
from unlearn_bench.harness.entries import entry as entries
from unlearn_bench.sandbox.inside import adapter
from unlearn_bench.sandbox.inside.loaders import ResidentLoader

BASELINES = [path for path in ENTRIES if path.parent.name == "baselines"]
each_entry = pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
each_baseline = pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
each_architecture = pytest.mark.parametrize("architecture", SPECS)


def inside(value: Any, rule: Any) -> bool:
    """Whether a default lies in its search space; an upper end may be a name that the track resolves."""
    kind, *ends = rule
    if kind == "choice":
        return value in ends[0]
    low, high = ends
    if kind == "log" and value == 0:  # switched off, which no logarithmic range contains
        return True
    if kind == "1-log":
        value = 1 - value
    whole = kind != "int" or isinstance(value, int)
    return whole and low <= value and (isinstance(high, str) or value <= high)


@each_entry
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


@each_baseline
def test_baselines_cite_and_state_their_cost(path: Path) -> None:
    entry = entries.read(path)
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert entry.metadata["paper"].startswith("https://")
    assert "Reads: " in text and "Cost: " in text and "Deep Unlearn, section" in text
    assert bool(entry.search_space) == (entry.metadata.get("kind") != "reference")


@each_baseline
def test_baselines_name_no_device(path: Path) -> None:
    """In branches that no run here takes, too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    words = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [word for word in words if word.split(":")[0] in {"cpu", "cuda", "mps", "xpu"}]
    assert not {node.attr for node in nodes if isinstance(node, ast.Attribute)} & {"cpu", "cuda", "numpy"}


@each_architecture
@each_entry
def test_a_run_has_no_fault(path: Path, architecture: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The one run of this entry on this architecture, under all observers; the faults are named in the failure."""
    limit = limits(architecture, by_sample="sample_gradients" in path.read_text(encoding="utf-8"))
    declared = declared_reads(path)
    seen = run(load_entry(path).unlearn, architecture, declared, capfd, **shortened(path))
    found = faults(seen, architecture, declared, limit)
    if path.parent.name == "submissions":
        found = {name: what for name, what in found.items() if name not in LEFT_TO_SUBMISSIONS}
    if seen.error is not None:
        seen.error.add_note(f"faults: {found}")
        raise seen.error
    assert not found, "\n".join(f"{name}: {what}" for name, what in found.items())


@pytest.mark.gpu
@each_architecture
@each_entry
def test_a_run_on_cuda_stays_there(path: Path, architecture: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model, loaders = tiny_problem(architecture, "cuda")
    devices: set[str] = set()

    class Watched(ResidentLoader):
        """Notes where the batches lie that the entry is given."""

        def __iter__(self) -> Any:
            for batch in super().__iter__():
                devices.update(tensor.device.type for tensor in batch)
                yield batch

    for loader in loaders:
        loader.__class__ = Watched
    result = adapter.call(load_entry(path), model, loaders, shortened(path))
    devices.update(tensor.device.type for tensor in result.state_dict().values())
    assert devices == {"cuda"}
    assert all(tensor.isfinite().all() for tensor in result.state_dict().values())
