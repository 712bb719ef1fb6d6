"""The benchmark's images, and which of them suffices for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import docker
from docker.models.images import Image

REPOSITORY = "unlearn-bench"
PACKAGES_LABEL = "unlearn-bench.packages"
"""Names of the packages that an image carries, separated by blanks."""
CUDA_LABEL = "unlearn-bench.cuda"
"""The CUDA version of its torch, empty for a CPU build."""
REQUIREMENTS_LABEL = "unlearn-bench.requirements"
"""What the entries require whose image it is, as :func:`requirements_text`; absent from an image of all entries."""
RESOLVED_LABEL = "unlearn-bench.resolved"
"""What was installed for them: a line ``NAME==VERSION sha256:DIGEST`` each."""
BASE_LABEL = "unlearn-bench.base"
"""Id of the image that it adds to."""


def requirements_text(requirements: Sequence[str]) -> str:
    """Return requirements as a label's value."""
    return " ".join(sorted(requirements))


def find(
    client: docker.DockerClient, needs: Sequence[str], device: str, requirements: Sequence[str] = ()
) -> Image | None:
    """Return the smallest image that carries the packages ``needs`` (and CUDA for a GPU), or ``None``.

    With ``requirements`` it is one that was built for them, on an image that is still there.
    """
    images = client.images.list(REPOSITORY)
    present = {image.id for image in images}
    sufficient = [
        image
        for image in images
        if suffices(image.labels, needs, device)
        and image.labels.get(REQUIREMENTS_LABEL, "") == requirements_text(requirements)
        and (not requirements or image.labels.get(BASE_LABEL) in present)
    ]
    return min(sufficient, key=lambda image: image.attrs["Size"], default=None)


def suffices(labels: Mapping[str, Any], needs: Sequence[str], device: str) -> bool:
    """Return whether an image with these labels carries the packages ``needs``, and CUDA for a GPU."""
    carried = str(labels.get(PACKAGES_LABEL, "")).split()
    return {"torch", *needs} <= set(carried) and (device == "cpu" or bool(labels.get(CUDA_LABEL)))
