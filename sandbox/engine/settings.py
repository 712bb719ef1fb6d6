"""The settings of the container of one unit, as arguments of the SDK's ``api.create_container``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.types import DeviceRequest, HostConfig, LogConfig, Mount, Ulimit

from unlearn_bench.sandbox import gpu
from unlearn_bench.sandbox.engine.seccomp import profile
from unlearn_bench.sandbox.types import Job

API = "1.41"
"""The oldest version of the engine's API that knows all of these settings."""
FOLDER = "/in"
SCRATCH = "/tmp"
USER = "65534:65534"
OPEN_FILES = 4096
INODES = 16384
MEMLOCK = 64 * 1024
COMMAND = ("python3", "-P", "-X", "faulthandler", "-m", "sandbox.inside.runner", FOLDER)


def settings(
    job: Job, image: str, stage: Path, labels: Mapping[str, str], info: Mapping[str, Any], runtime: str | None
) -> dict[str, Any]:
    """Return everything that confines one unit.

    ``info`` is the engine's, ``runtime`` another OCI runtime than its default (``runsc``).
    """
    return {
        "image": image,
        "command": list(COMMAND),
        "entrypoint": [],
        "user": USER,
        "hostname": "sandbox",
        "working_dir": SCRATCH,
        "labels": dict(labels),
        "environment": {
            "HOME": SCRATCH,
            "PYTHONPATH": f"{FOLDER}/lib",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": str(job.threads),
        },
        "use_config_proxy": False,
        "stdin_open": True,
        "network_disabled": True,
        "host_config": HostConfig(API, **_confined(job, stage, info, runtime)),
    }


def _confined(job: Job, stage: Path, info: Mapping[str, Any], runtime: str | None) -> dict[str, Any]:
    limits = job.limits
    confined: dict[str, Any] = {
        "init": True,
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges=true", f"seccomp={profile()}"],
        "ipc_mode": "private",
        "cgroupns": "private",
        "pids_limit": limits.processes,
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "tmpfs": {
            SCRATCH: f"rw,noexec,nosuid,nodev,mode=1777,size={limits.scratch},nr_inodes={INODES}",
            # the engine mounts a file system there in which every user can make message queues
            "/dev/mqueue": "ro,noexec,nosuid,nodev,mode=0555,size=4096",
        },
        "shm_size": limits.scratch,
        "ulimits": [
            Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=limits.scratch, hard=limits.scratch),
            Ulimit(name="memlock", soft=MEMLOCK, hard=MEMLOCK),
        ],
        "mounts": [Mount(FOLDER, str(stage), type="bind", read_only=True, propagation="rprivate")],
        "log_config": LogConfig(type=LogConfig.types.NONE),
    }
    if job.cpus:
        confined["cpuset_cpus"] = ",".join(map(str, job.cpus))
        confined["nano_cpus"] = len(job.cpus) * 10**9
    if job.device != "cpu":
        confined["device_requests"] = [_gpu(job.device, info)]
    if runtime is not None:
        confined["runtime"] = runtime
    return confined


def _gpu(device: str, info: Mapping[str, Any]) -> DeviceRequest:
    """Return the request for one GPU: through CDI if the engine has found it there, else through NVIDIA's runtime."""
    identifier = gpu.identifier(device)
    name = f"nvidia.com/gpu={identifier}"
    devices = info.get("DiscoveredDevices") or ()
    if any(entry.get("Source") == "cdi" and entry.get("ID") == name for entry in devices):
        return DeviceRequest(driver="cdi", device_ids=[name])
    return DeviceRequest(device_ids=[identifier], capabilities=[["gpu"]])
