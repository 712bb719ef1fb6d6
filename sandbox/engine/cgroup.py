"""The kernel's counts for a container, where its control group can be read from this machine (cgroup v1 and v2)."""

from __future__ import annotations

from pathlib import Path

ROOT, PROC = Path("/sys/fs/cgroup"), Path("/proc")


class Cgroup:
    """The control groups of the process ``pid``, if they are those of ``container`` (an engine may run elsewhere)."""

    def __init__(self, pid: int, container: str) -> None:
        self._folders: dict[str, Path] = {}
        try:
            lines = (PROC / str(pid) / "cgroup").read_text().splitlines()
        except OSError:
            return
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if container in path:
                for controller in controllers.split(","):
                    self._folders[controller] = ROOT / controller / path.lstrip("/")

    def cpu_seconds(self) -> float | None:
        """Return the CPU time of all processes so far, in seconds; ``None`` if unknown."""
        nanoseconds = self._number("cpuacct", "cpuacct.usage")
        if nanoseconds is not None:
            return nanoseconds / 1e9
        microseconds = self._number("", "cpu.stat", "usage_usec")
        return None if microseconds is None else microseconds / 1e6

    def peak_memory(self) -> int | None:
        """Return the largest memory use in bytes, page cache included; ``None`` if unknown."""
        peak = self._number("memory", "memory.max_usage_in_bytes")
        return self._number("", "memory.peak") if peak is None else peak

    def memory_kills(self) -> int | None:
        """Return how many processes the kernel has killed for the memory limit; ``None`` if unknown."""
        kills = self._number("memory", "memory.oom_control", "oom_kill ")
        return self._number("", "memory.events", "oom_kill ") if kills is None else kills

    def memory_limit(self) -> int | None:
        """Return how many bytes of memory may be used; ``None`` if unknown or unlimited."""
        limit = self._number("memory", "memory.limit_in_bytes")
        return self._number("", "memory.max") if limit is None else limit

    def process_limit(self) -> int | None:
        """Return how many processes there may be; ``None`` if unknown or unlimited."""
        limit = self._number("pids", "pids.max")
        return self._number("", "pids.max") if limit is None else limit

    def _number(self, controller: str, name: str, key: str = "") -> int | None:
        folder = self._folders.get(controller)
        if folder is None:
            return None
        try:
            lines = (folder / name).read_text().splitlines()
        except OSError:
            return None
        words = (line.split()[-1] for line in lines if line.startswith(key))
        return next((int(word) for word in words if word != "max"), None)
