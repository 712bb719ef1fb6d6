"""The settings that confine a container, read back from the engine and compared with those that were requested.

An accepted flag need not be enforced: an engine drops a limit that it cannot keep, with or without a warning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from unlearn_bench.sandbox.text import one_line

UNASKED = (
    "AutoRemove", "Binds", "CapAdd", "CgroupParent", "DeviceCgroupRules", "Devices",
    "ExtraHosts", "GroupAdd", "Links", "OomKillDisable", "PidMode", "PortBindings",
    "Privileged", "PublishAllPorts", "Sysctls", "UTSMode", "UsernsMode", "VolumesFrom",
)  # fmt: skip
"""Settings of the engine that would loosen the others, and must be empty."""
CONFIG = {
    "command": "Cmd",
    "entrypoint": "Entrypoint",
    "user": "User",
    "hostname": "Hostname",
    "working_dir": "WorkingDir",
    "stdin_open": "OpenStdin",
    "network_disabled": "NetworkDisabled",
}
"""The SDK's names of settings, and the engine's."""
HARMLESS = "IPv4 forwarding"
"""The beginning of a warning on hosts that do not route, which is harmless as a unit has no network."""

_CONTROLLERS = "use an engine that runs as root, or on cgroup v2, with this controller switched on"
REMEDIES = {
    "Memory": f"{_CONTROLLERS} (kernel parameter cgroup_enable=memory)",
    "MemorySwap": f"{_CONTROLLERS} (kernel parameter swapaccount=1)",
    "PidsLimit": _CONTROLLERS,
    "NanoCpus": _CONTROLLERS,
    "CpusetCpus": _CONTROLLERS,
    "SecurityOpt": "use an engine with seccomp (`docker info`, Security Options)",
    "Runtime": "see `docker info`, Runtimes",
    "Image": "build the image again: bench image",
}
OTHER = "look at the warnings of `docker info` or `podman info` and at the engine's configuration, or update the engine"


class SettingMismatch(NamedTuple):
    """A setting, by the engine's name, that is not what was asked for."""

    name: str
    asked: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.name} is {_shown(self.found)}, not {_shown(self.asked)}"


class NotEnforced(Exception):
    """The engine does not confine a unit as it was asked to; the text names the settings and the remedy."""

    def __init__(self, mismatches: Sequence[SettingMismatch], warnings: Sequence[str]) -> None:
        complaints = [*map(str, mismatches), *(f"it warned: {one_line(warning, 200)}" for warning in warnings)]
        remedy = REMEDIES.get(mismatches[0].name, OTHER) if mismatches else OTHER
        super().__init__(f"the engine did not apply the settings of a unit: {', '.join(complaints)}; {remedy}")


def check(
    asked: Mapping[str, Any], warnings: Sequence[str] | None, attrs: Mapping[str, Any], info: Mapping[str, Any]
) -> None:
    """Compare ``settings()`` with the engine's ``inspect`` of the container (``attrs``) and its warnings at creation.

    Raises:
        NotEnforced: something differs, or the engine warned.
    """
    wrong = mismatches(asked, attrs, info)
    serious = [warning for warning in warnings or () if not warning.startswith(HARMLESS)]
    if wrong or serious:
        raise NotEnforced(wrong, serious)


def mismatches(asked: Mapping[str, Any], attrs: Mapping[str, Any], info: Mapping[str, Any]) -> list[SettingMismatch]:
    """Return all settings that differ from ``asked``, the arguments of ``api.create_container``."""
    return [setting for setting in _compared(asked, attrs, info) if _plain(setting.asked) != _plain(setting.found)]


def _compared(asked: Mapping[str, Any], attrs: Mapping[str, Any], info: Mapping[str, Any]) -> Iterator[SettingMismatch]:
    host, config = attrs["HostConfig"], attrs["Config"]
    defaults = {"Runtime": info["DefaultRuntime"], "NanoCpus": 0, "CpusetCpus": "", "DeviceRequests": []}
    for name, value in {**defaults, **asked["host_config"], **dict.fromkeys(UNASKED)}.items():
        if name != "Mounts":  # the actual mounts are compared below
            yield SettingMismatch(name, value, host.get(name))
    mounts = [
        {
            "Type": mount["Type"],
            "Destination": mount["Target"],
            "RW": not mount["ReadOnly"],
            "Propagation": mount["BindOptions"]["Propagation"],
        }
        for mount in asked["host_config"]["Mounts"]
    ]
    yield SettingMismatch("Mounts", mounts, [{key: mount.get(key) for key in mounts[0]} for mount in attrs["Mounts"]])
    for name, key in CONFIG.items():
        yield SettingMismatch(key, asked[name], config.get(key))
    yield SettingMismatch("Tty", False, config.get("Tty"))
    yield SettingMismatch("Image", asked["image"], attrs["Image"])
    networks = set(attrs["NetworkSettings"].get("Networks") or ()) - {"none"}
    yield SettingMismatch("Networks", [], sorted(networks))
    # an image has variables and labels of its own, so only those that were asked for are compared
    environment = dict(line.split("=", 1) for line in config.get("Env") or ())
    for name, asked_pairs, found_pairs in (
        ("Env", asked["environment"], environment),
        ("Labels", asked["labels"], config.get("Labels") or {}),
    ):
        yield SettingMismatch(name, asked_pairs, {key: found_pairs.get(key) for key in asked_pairs})


def _plain(value: Any) -> Any:
    """Normalise a value: engines and SDK write emptiness in several ways, and lists in any order."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())} or None
    if isinstance(value, list | tuple):
        return sorted((_plain(item) for item in value), key=json.dumps) or None
    return value or None


def _shown(value: Any) -> str:
    return one_line(json.dumps(value), 120)
