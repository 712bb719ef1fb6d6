"""Build the benchmark's image: pip on the host fills a folder, a Dockerfile copies it, no network in between."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import docker
from docker.errors import DockerException

from unlearn_bench.sandbox.engine.images import CUDA_LABEL, PACKAGES_LABEL, REPOSITORY
from unlearn_bench.sandbox.image.base import BuildError, resolve

Variant = Literal["lean", "full"]
PACKAGES: dict[Variant, tuple[str, ...]] = {
    # some indexes have 2.13.0 as a CPU build; from others the image is just larger
    "lean": ("torch==2.13.0", "numpy", "safetensors"),
    "full": ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "safetensors"),
}
_TIMEOUT = 1800
_GLIBC_MINORS = range(17, 37)  # bookworm has 2.36
_UNNEEDED = ("torch/include", "torch/share", "torch/lib/*.a", "torch/bin/protoc*", "torch/bin/*test*", "bin")
_DATA_SETS = ("sklearn/datasets/data", "sklearn/datasets/images", "sklearn/datasets/descr")


def build(
    variant: Variant,
    base_image: str | None = None,
    progress: Callable[[str], None] = print,
    pip_arguments: Sequence[str] = (),
) -> str:
    """Build ``unlearn-bench:<variant>`` and return its id (``sha256:…``).

    ``base_image``: any image with Python ≥ 3.11 as ``python3``; ``None`` takes an official one, or makes one where no
    registry answers. ``pip_arguments`` are appended to ``pip install``, ``progress`` gets one line per step.

    Raises:
        BuildError: the image cannot be built here; the error gives the remedy.
    """
    assert variant in get_args(Variant)
    try:
        client = docker.from_env(timeout=_TIMEOUT)
    except DockerException as error:
        raise BuildError("no container engine answers", "install Docker and start it (`dockerd`)") from error
    base = resolve(client, base_image, progress)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        progress(f"installing {' '.join(PACKAGES[variant])}")
        pip_install(PACKAGES[variant], site, python_version(client, base), pip_arguments)
        prune(site)
        shutil.copy(Path(__file__).with_name("Dockerfile"), folder)
        labels = {PACKAGES_LABEL: " ".join(_carried(site)), CUDA_LABEL: _cuda(site)}
        progress(f"building {REPOSITORY}:{variant} on {base}")
        image = build_folder(client, Path(folder), f"{REPOSITORY}:{variant}", base, labels)
    # removes the image that had this tag before
    client.images.prune(filters={"dangling": True, "label": PACKAGES_LABEL})
    return image


def build_folder(client: docker.DockerClient, folder: Path, tag: str, base: str, labels: Mapping[str, str]) -> str:
    """Build the folder's Dockerfile on an image ``base``, without a network; return the new image's id.

    Raises:
        BuildError: the engine could not build it.
    """
    try:
        image, _ = client.images.build(
            path=str(folder),
            tag=tag,
            buildargs={"BASE_IMAGE": base},
            labels=labels,
            network_mode="none",
            rm=True,
            forcerm=True,
        )
    except DockerException as error:
        raise BuildError(f"the build failed: {error}", "check `docker info` and the free disk space") from error
    return str(image.id)


def python_version(client: docker.DockerClient, base: str) -> str:
    """Return the version of an image's ``python3``, such as ``3.11``."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    output = client.containers.run(base, ["python3", "-c", program], remove=True, network_mode="none")
    return str(output.decode().strip())


def pip_install(packages: Sequence[str], site: Path, python: str, extra: Sequence[str]) -> None:
    """Install wheels for an image with this Python into a folder, with pip's arguments ``extra`` before ``packages``.

    Raises:
        BuildError: pip failed; the error has its last complaint.
    """
    machine = platform.machine()
    tags = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in _GLIBC_MINORS)]
    platforms = [f"--platform={tag}_{machine}" for tag in tags]
    command = [sys.executable, "-m", "pip", "install", "--target", str(site), "--no-compile", "--only-binary=:all:",
               f"--python-version={python}", *platforms, *extra, *packages]  # fmt: skip
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    if pip.returncode:
        lines = pip.stderr.splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise BuildError(f"pip failed: {' '.join(errors)}", "check pip's index settings, or give further pip arguments")


def prune(site: Path) -> None:
    """Drop tests, headers and static libraries, and bundled data sets: an entry must not find a test set."""
    for path in _unneeded(site):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _unneeded(site: Path) -> Iterator[Path]:
    for pattern in _UNNEEDED:
        yield from site.glob(pattern)
    for package in sorted(path for path in site.iterdir() if path.name != "torch"):
        yield from [path for path in package.rglob("tests") if path.is_dir()]
    for folder in _DATA_SETS:
        yield from [path for path in (site / folder).rglob("*") if path.is_file() and path.suffix != ".py"]


def _carried(site: Path) -> list[str]:
    names = (path.name.split("-")[0].lower().replace("_", "-") for path in site.glob("*.dist-info"))
    return sorted(names)


def _cuda(site: Path) -> str:
    match = re.search(r"^cuda\b[^=]*= ['\"]([\d.]+)", (site / "torch/version.py").read_text(), re.MULTILINE)
    return match.group(1) if match else ""
