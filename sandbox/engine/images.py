"""The benchmark's images, and which of them suffices for a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
from docker.models.images import Image

REPOSITORY = "unlearn-bench"
PACKAGES_LABEL = "unlearn-bench.packages"
"""Names of the packages that an image carries, separated by blanks."""
CUDA_LABEL = "unlearn-bench.cuda"
"""The CUDA version of its torch, empty for a CPU build."""


def find(client: docker.DockerClient, needs: tuple[str, ...], device: str) -> Image | None:
    """Return the smallest image that carries the packages ``needs`` (and CUDA for a GPU), or ``None``."""
    sufficient = [image for image in client.images.list(REPOSITORY) if _suffices(image.labels, needs, device)]
    return min(sufficient, key=lambda image: image.attrs["Size"], default=None)


def _suffices(labels: Mapping[str, Any], needs: tuple[str, ...], device: str) -> bool:
    carried = str(labels.get(PACKAGES_LABEL, "")).split()
    return {"torch", *needs} <= set(carried) and (device == "cpu" or bool(labels.get(CUDA_LABEL)))
