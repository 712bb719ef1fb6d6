"""scikit-learn's digits, grey, 8 pixels, 1,797 images that come with the package."""

from __future__ import annotations

import numpy as np

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.tracks.specification import Data


def load(spec: Data, download: bool) -> Dataset:
    """Load the digits, each rotated once by an angle in ±180° if the track has a ``rotation_seed``."""
    from scipy.ndimage import rotate
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images * (255 / 16)
    if spec.rotation_seed is not None:
        angles = np.random.RandomState(spec.rotation_seed).uniform(-180, 180, len(images))
        images = np.stack(
            [rotate(image, angle, reshape=False, order=1) for image, angle in zip(images, angles, strict=True)]
        )
    images = np.clip(np.rint(images), 0, 255).astype(np.uint8)[:, None]
    return Dataset(images, bunch.target.astype(np.int64))
