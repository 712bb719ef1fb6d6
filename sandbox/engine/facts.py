"""What a container engine is and can do, as it reports itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.engine.client import FAILURES, connect

CONTROLLERS = {
    "MemoryLimit": "memory",
    "SwapLimit": "swap",
    "PidsLimit": "pids",
    "CpuCfsQuota": "cpu",
    "CPUSet": "cpuset",
}
"""Fields in which the engine says what it can limit, and the kernel's controllers that do it."""


@dataclass(frozen=True)
class Facts:
    """An engine that answers."""

    info: Mapping[str, Any]
    images: tuple[tuple[str, str, str], ...]
    """Tags, id and CUDA version (empty for a CPU build) of the benchmark's images."""

    @property
    def line(self) -> str:
        """Version, control groups, storage and runtimes, in one line."""
        info = self.info
        runtimes = ", ".join(
            sorted(name for name in info.get("Runtimes") or {} if not name.startswith("io.containerd"))
        )
        rootless = ", rootless" if any("rootless" in option for option in info.get("SecurityOptions") or ()) else ""
        return (
            f"version {info['ServerVersion']}, cgroup v{info.get('CgroupVersion', '1')} by {info.get('CgroupDriver')}, "
            f"storage {info['Driver']}, runtimes {runtimes} (default {info.get('DefaultRuntime')}){rootless}"
        )

    @property
    def lacking(self) -> list[str]:
        """Missing controllers, whose limits the engine accepts but does not enforce."""
        return lacking(self.info)

    def passes_gpus(self) -> bool:
        """Return whether it can hand a GPU to a container: NVIDIA's runtime, or a device found through CDI."""
        devices = self.info.get("DiscoveredDevices") or ()
        return "nvidia" in (self.info.get("Runtimes") or {}) or any("nvidia" in str(d.get("ID")) for d in devices)


def lacking(info: Mapping[str, Any]) -> list[str]:
    """Return the controllers that an engine says it does not have; it may accept their limits all the same."""
    return [name for key, name in CONTROLLERS.items() if info.get(key) is False]


def facts() -> Facts | None:
    """Return the engine that the environment names; ``None`` if none answers."""
    try:
        with connect() as client:
            labelled_images = client.images.list(images.REPOSITORY)
            labelled = (
                (", ".join(i.tags), str(i.id), str(i.labels.get(images.CUDA_LABEL, ""))) for i in labelled_images
            )
            return Facts(client.info(), tuple(sorted(labelled)))
    except FAILURES:
        return None
