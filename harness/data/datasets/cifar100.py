"""CIFAR-100 (Krizhevsky 2009) with its 100 fine labels, colour, 32 pixels, 50,000 train and 10,000 test images."""

from __future__ import annotations

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.data.datasets._torchvision import load_torchvision
from unlearn_bench.harness.tracks.specification import Data

PLACE = "cifar-100-python"
"""Where torchvision keeps it in the data folder."""


def load(spec: Data, download: bool) -> Dataset:
    """Load both parts with torchvision, which can download them."""
    return load_torchvision(spec, "CIFAR100", download)
