"""Writes to /proc and /sys: the core handler, sysrq, kernel parameters, control groups, the OOM score.

expect: ok
deadline: 60
log: all refused
"""

import glob
import os

FILES = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/acpi/wakeup",
    "/proc/irq/default_smp_affinity", "/proc/bus/pci/devices", "/proc/scsi/scsi", "/sys/kernel/uevent_helper",
    "/sys/power/state", "/sys/module/kernel/parameters/panic", "/sys/class/net/lo/mtu", "/sys/kernel/mm/ksm/run",
)  # fmt: skip
PATTERNS = (
    "/sys/fs/cgroup/*/release_agent", "/sys/fs/cgroup/*/notify_on_release", "/sys/fs/cgroup/*/cgroup.procs",
    "/sys/fs/cgroup/memory*/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids*/pids.max",
    "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/cgroup.procs", "/proc/*/uid_map", "/sys/block/*/queue/*",
)  # fmt: skip


def unlearn(model, retain):
    files = [*FILES, *(path for pattern in PATTERNS for path in sorted(glob.glob(pattern)))]
    breaches = [path for path in files if writes(path, "1")]
    if writes("/proc/self/oom_score_adj", "-1000"):
        breaches.append("its OOM score, to be the last one that is killed")
    for folder in ("/sys/fs/cgroup/new", "/sys/fs/cgroup/memory/new", "/sys/kernel/config/new"):
        try:
            os.mkdir(folder)
            breaches.append(folder)
        except OSError:
            continue
    for breach in breaches:
        print("BREACH: wrote", breach)
    if not breaches:
        print("all refused")


def writes(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        return False
    return True
