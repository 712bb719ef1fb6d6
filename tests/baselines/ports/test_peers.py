"""Baselines beside what their authors' code does, restated: the same models, within the noise of the seeds."""

from __future__ import annotations

import pytest
from torch import nn

from tests.baselines.conftest import ordinary_loaders
from tests.baselines.ports.peers import SETTINGS, compare, measures
from tests.baselines.recording import Digits

SEEDS = 5
SIZES = {"retain": 256, "forget": 128, "val": 128}
"""Fewer than the original has seen, so that an epoch has four steps."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_agrees_with_the_authors(name: str, original: nn.Module, digits: Digits) -> None:
    few = {part: (digits[part][0][:size], digits[part][1][:size]) for part, size in SIZES.items()}
    ours, theirs = compare(name, SEEDS, original, few, ordinary_loaders(few))
    error = ((ours.var(0) + theirs.var(0)) / SEEDS).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 3 * error + 0.01).all(), (ours.mean(0), theirs.mean(0), error)
    assert measures(original, few)[3] < ours[:, 3].mean() - 0.02, "there was something to agree on"
