"""CIFAR-10 (Krizhevsky 2009), colour, 32 pixels, 50,000 train and 10,000 test images."""

from __future__ import annotations

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.data.datasets._torchvision import load_torchvision
from unlearn_bench.harness.tracks.specification import Data

PLACE = "cifar-10-batches-py"
"""Where torchvision keeps it in the data folder."""


def load(spec: Data, download: bool) -> Dataset:
    """Load both parts with torchvision, which can download them."""
    return load_torchvision(spec, "CIFAR10", download)
