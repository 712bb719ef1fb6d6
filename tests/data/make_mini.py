"""Makes the mini data sets of this folder: `python -m tests.data.make_mini FOLDER`, a folder that torchvision reads.

The first examples of a fixed permutation of the official train part, CIFAR-10 halved to 16 pixels by averaging blocks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision import datasets

HERE = Path(__file__).parent
SEED = 123
FASHION, CIFAR = 3_944, 10_000


def main(folder: str) -> None:
    fashion, cifar = datasets.FashionMNIST(folder), datasets.CIFAR10(folder)
    _write("fashionmnist-mini", fashion.data.numpy(), fashion.targets.numpy(), FASHION)
    halves = cifar.data.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    _write("cifar10-mini", np.rint(halves).astype(np.uint8), np.asarray(cifar.targets), CIFAR)


def _write(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64], count: int) -> None:
    chosen = np.sort(np.random.RandomState(SEED).permutation(len(labels))[:count])
    np.savez_compressed(HERE / f"{name}.npz", images=images[chosen], labels=labels[chosen].astype(np.uint8))


if __name__ == "__main__":
    main(sys.argv[1])
