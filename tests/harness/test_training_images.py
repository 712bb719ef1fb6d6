"""The images that reference models are trained on: shared with the data set, and laid out as they always were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unlearn_bench.harness.training.task import _strided


@pytest.mark.parametrize(
    "images",
    [
        np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8)[:, None],
        np.arange(5 * 64, dtype=np.uint8).reshape(5, 1, 8, 8),
        np.arange(5 * 192, dtype=np.uint8).reshape(5, 3, 8, 8),
        np.arange(5 * 192, dtype=np.uint8).reshape(5, 8, 8, 3).transpose(0, 3, 1, 2),
    ],
)
def test_images_that_are_not_copied_have_values_and_strides_of_a_copy(images: np.ndarray) -> None:
    expected = torch.from_numpy(images[np.arange(5)])
    assert torch.equal(_strided(images), expected) and _strided(images).stride() == expected.stride()


def test_images_of_a_data_set_are_not_copied() -> None:
    images = np.zeros((5, 3, 8, 8), np.uint8)
    tensor = _strided(images)
    images[2] = 7
    assert tensor[2].min() == 7
