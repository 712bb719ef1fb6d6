"""Baselines beside what their authors' code does, restated: the same models, within the noise of the seeds."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from tests.baselines.ports.peers import SETTINGS, compare, measures
from tests.baselines.recording import Digits

SEEDS = 6


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_agrees_with_the_authors(name: str, original: nn.Module, digits: Digits, digits_loaders: Any) -> None:
    ours, theirs = compare(name, SEEDS, original, digits, digits_loaders)
    error = ((ours.var(0) + theirs.var(0)) / SEEDS).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 3 * error + 0.01).all(), (ours.mean(0), theirs.mean(0), error)
    assert measures(original, digits)[3] < ours[:, 3].mean() - 0.02, "there was something to agree on"
