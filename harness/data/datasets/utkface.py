"""UTKFace (Zhang et al. 2017), aligned and cropped, colour; the class is the age in bins of 20 years."""

from __future__ import annotations

import numpy as np

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.tracks.specification import Data

PLACE = "UTKFace"
"""The folder of its images in the data folder."""
AGE_BIN = 20
"""Years of age in one class."""


def load(spec: Data, download: bool) -> Dataset:
    """Load the images ``age_gender_race_date.jpg``, sorted by name, in the track's size. There is no download."""
    from PIL import Image

    folder = data_folder() / PLACE
    paths = sorted(folder.glob("*.jpg"), key=lambda path: path.name)
    if not paths:
        raise DataError(
            f"there are no UTKFace images in {folder}",
            "get the aligned and cropped images from the data set's authors and unpack them there; "
            "the licence does not allow a download by this command",
        )
    images = np.empty((len(paths), 3, spec.image_size, spec.image_size), np.uint8)
    labels = np.empty(len(paths), np.int64)
    for index, path in enumerate(paths):
        try:
            age = int(path.name.split("_")[0])
            with Image.open(path) as picture:
                resized = picture.convert("RGB").resize((spec.image_size,) * 2, Image.Resampling.BILINEAR)
                images[index] = np.asarray(resized).transpose(2, 0, 1)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a UTKFace image: {error}", "unpack the data set again") from None
        labels[index] = min(age // AGE_BIN, spec.own_classes - 1)
    return Dataset(images, labels)
