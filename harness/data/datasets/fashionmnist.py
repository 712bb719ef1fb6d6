"""FashionMNIST (Xiao et al. 2017), grey, 28 pixels, 60,000 train and 10,000 test images."""

from __future__ import annotations

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.data.datasets._torchvision import load_torchvision
from unlearn_bench.harness.tracks.specification import Data

PLACE = "FashionMNIST/raw"
"""Where torchvision keeps it in the data folder."""
PUBLISHED = "30cd9b8093790bacb595d8858cf5d4ed5cf56e9095adf8a2362af8fd9d43db17"
"""``Dataset.sha256`` of both parts. torchvision checks the archives when it gets them, and never again."""


def load(spec: Data, download: bool) -> Dataset:
    """Load both parts with torchvision, which can download them."""
    return load_torchvision(spec, "FashionMNIST", download, PUBLISHED)
