"""MNIST (LeCun et al. 1998), grey, 28 pixels, 60,000 train and 10,000 test images."""

from __future__ import annotations

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.data.datasets._torchvision import load_torchvision
from unlearn_bench.harness.tracks.specification import Data

PLACE = "MNIST/raw"
"""Where torchvision keeps it in the data folder."""
PUBLISHED = "1934b35f0e63b63d9aa4885cee58aab705a6fb58d24c643a28acbe7f073b4b0a"
"""``Dataset.sha256`` of both parts. torchvision checks the archives when it gets them, and never again."""


def load(spec: Data, download: bool) -> Dataset:
    """Load both parts with torchvision, which can download them."""
    return load_torchvision(spec, "MNIST", download, PUBLISHED)
