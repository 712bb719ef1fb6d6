"""The baselines on networks of torchvision, of timm and of a track's own file, under the observers of conformity."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.baselines.conformity import declared_reads, faults, limits, run, shortened
from tests.baselines.conftest import BASELINES, NETWORKS, load_entry, tiny_problem
from unlearn_bench.sandbox import toolkit
from unlearn_bench.sandbox.inside.models import build

PATHS = sorted(path for path in BASELINES.glob("*.py") if path.stem != "__init__")
FAST = {"eu_k", "iu", "msg"}
"""They draw layers anew, differentiate sample by sample and look for convolutions: what depends on the network most."""


def cases() -> list[Any]:
    """Return every pair of a network and a baseline; all but a few are marked slow."""
    return [
        pytest.param(network, path, id=f"{network}-{path.stem}", marks=[] if path.stem in FAST else pytest.mark.slow)
        for network in NETWORKS
        for path in PATHS
    ]


@pytest.mark.parametrize(("network", "path"), cases())
def test_a_baseline_has_no_fault_on_a_network(network: str, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    limit = limits(network, by_sample="sample_gradients" in path.read_text(encoding="utf-8"))
    declared = declared_reads(path)
    seen = run(load_entry(path).unlearn, network, declared, capfd, **shortened(path))
    found = faults(seen, network, declared, limit)
    if seen.error is not None:
        seen.error.add_note(f"faults: {found}")
        raise seen.error
    assert not found, "\n".join(f"{name}: {what}" for name, what in found.items())


@pytest.mark.parametrize("network", NETWORKS)
def test_reinitialise_builds_a_network_again(network: str) -> None:
    model, _ = tiny_problem(network)
    trained = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in trained.state_dict().values():
            tensor.fill_(3)
    torch.manual_seed(5)
    drawn = toolkit.reinitialise(trained).state_dict()
    torch.manual_seed(5)
    new = build({**NETWORKS[network], "classes": 4, "channels": 1, "image_size": 32}).state_dict()
    assert all(torch.equal(tensor, drawn[name]) for name, tensor in new.items())
