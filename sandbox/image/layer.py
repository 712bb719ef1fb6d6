"""A layer with the packages that an entry requires on top of an image: chosen and fetched by pip on the host."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import docker
from docker.errors import DockerException
from docker.models.images import Image

from unlearn_bench.sandbox.engine.images import (
    BASE_LABEL,
    PACKAGES_LABEL,
    REPOSITORY,
    REQUIREMENTS_LABEL,
    RESOLVED_LABEL,
    requirements_text,
)
from unlearn_bench.sandbox.image.base import BuildError
from unlearn_bench.sandbox.image.build import Variant, build_folder, pip_install, prune, python_version

_VERSIONS = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


def build_layer(
    variant: Variant,
    requirements: Sequence[str],
    progress: Callable[[str], None] = print,
    pip_arguments: Sequence[str] = (),
) -> tuple[str, list[str]]:
    """Build an image that adds ``requirements`` to ``unlearn-bench:<variant>``.

    Packages of the image keep their versions. Only wheels are taken, so that nothing of a package runs on the host.

    Returns:
        The image's id, and what was added, as ``NAME==VERSION sha256:DIGEST``.

    Raises:
        BuildError: The image cannot be built here; the error gives the remedy.
    """
    try:
        client = docker.from_env()
        base = next(iter(client.images.list(f"{REPOSITORY}:{variant}")), None)
    except DockerException as error:
        raise BuildError("no container engine answers", "install Docker and start it (`dockerd`)") from error
    if base is None:
        raise BuildError(f"there is no image {REPOSITORY}:{variant}", f"build it: bench image --variant {variant}")
    tag = f"{REPOSITORY}:{variant}-{hashlib.sha256(requirements_text(requirements).encode()).hexdigest()[:12]}"
    with tempfile.TemporaryDirectory() as folder:
        progress(f"installing {' '.join(requirements)}")
        resolved = _fill(client, base, requirements, Path(folder), pip_arguments)
        shutil.copy(Path(__file__).with_name("Dockerfile.layer"), Path(folder, "Dockerfile"))
        names = sorted({*base.labels[PACKAGES_LABEL].split(), *(line.split("==")[0] for line in resolved)})
        labels = {
            PACKAGES_LABEL: " ".join(names),
            REQUIREMENTS_LABEL: requirements_text(requirements),
            RESOLVED_LABEL: "\n".join(resolved),
            BASE_LABEL: str(base.id),
        }
        progress(f"building {tag} on {REPOSITORY}:{variant}")
        image = build_folder(client, Path(folder), tag, str(base.id), labels)
    return image, resolved


def _fill(
    client: docker.DockerClient, base: Image, requirements: Sequence[str], folder: Path, pip_arguments: Sequence[str]
) -> list[str]:
    """Install into ``folder/site`` what the image lacks; return it as ``NAME==VERSION sha256:DIGEST``."""
    output = client.containers.run(base.id, ["python3", "-c", _VERSIONS], remove=True, network_mode="none")
    versions: dict[str, str] = json.loads(output)
    constraints, report, site = folder / "constraints.txt", folder / "report.json", folder / "site"
    pins = [f"{name}=={version.partition('+')[0]}" for name, version in versions.items()]
    constraints.write_text("\n".join(pins))
    python = python_version(client, str(base.id))
    pip_install(
        [*requirements, "--dry-run", "--ignore-installed", "--report", str(report), "--constraint", str(constraints)],
        site,
        python,
        pip_arguments,
    )
    carried = {_canonical(name) for name in versions}
    added = {}
    for item in json.loads(report.read_text())["install"]:
        name = _canonical(item["metadata"]["name"])
        if name not in carried:
            sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
            added[f"{name}=={item['metadata']['version']}"] = sha256
    for file in (constraints, report):
        file.unlink()
    site.mkdir(exist_ok=True)
    if added:
        locked = folder / "locked.txt"
        locked.write_text("".join(f"{pin} --hash=sha256:{sha256}\n" for pin, sha256 in added.items()))
        pip_install(["--no-deps", "--require-hashes", "--requirement", str(locked)], site, python, pip_arguments)
        locked.unlink()
    prune(site)
    return [f"{pin} sha256:{sha256}" for pin, sha256 in sorted(added.items())]


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))
