"""Looks for the engine's socket, devices, hidden files, data sets, the benchmark itself, other processes and variables.

expect: ok
deadline: 120
log: looked at
"""

import importlib.util
import os
import re
import stat

from safetensors.torch import load_file

STAGED = {"job.json", "entry.py", "weights.safetensors", "data.safetensors", "lib"}
TENSORS = {f"{part}_{what}" for part in ("retain", "forget", "val") for what in ("images", "labels")}
VARIABLES = {"PATH", "HOSTNAME", "HOME", "PYTHONPATH", "PYTHONHASHSEED", "OMP_NUM_THREADS", "LANG", "GPG_KEY",
             "PYTHON_VERSION", "PYTHON_SHA256", "LC_CTYPE", "TERM", "container"}  # fmt: skip
"""The names of the unit's variables and of the image's, and two that engines add, which tell nothing of the host."""
DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd", "stdin",
           "stdout", "stderr", "core"}  # fmt: skip
BENCHMARK = ("unlearn_bench", "harness", "scoring", "baselines", "submissions")
"""Packages whose files hold reference outputs and the other entries, or lead to them."""
DATA = re.compile(r"\.(npz|npy|csv\.gz|parquet|pt|pth|safetensors|h5|tar|tgz|zip|pickle|pkl)$")
SECRETS = ("/etc/shadow", "/root", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/sys/firmware/efi",
           "/proc/1/root/etc/shadow", "/var/run/docker.sock", "/run/containerd", "/var/lib/docker",
           "/proc/timer_list", "/sys/kernel/debug", "/sys/fs/cgroup/docker", "/host", "/run/secrets")  # fmt: skip


def unlearn(model, retain):
    looked = 0
    for folder, folders, files in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys")]
        for name in folders + files:
            looked += 1
            inspect(os.path.join(folder, name))
    for path in SECRETS:
        if readable(path):
            print("BREACH: can read", path)
    for package in BENCHMARK:
        if importlib.util.find_spec(package) is not None:
            print("BREACH: the benchmark is installed:", package)
    differs("the stage", set(os.listdir("/in")), STAGED)
    differs("the data", set(load_file("/in/data.safetensors")), TENSORS)
    differs("devices", set(os.listdir("/dev")), DEVICES)
    with open("/proc/1/environ") as file:
        differs("the environment", {item.split("=")[0] for item in file.read().split("\0") if item}, VARIABLES)
    commands = [name for name in os.listdir("/proc") if name.isdigit()]
    if len(commands) > 2:
        print("BREACH: sees", len(commands), "processes")
    with open("/proc/self/mountinfo") as file:
        told = [line for line in file if " /in " in line and re.search(r"entry|track|seed|shadow|home", line)]
    if told:
        print("BREACH: the mount tells", told)
    print("looked at", looked, "files")


def inspect(path):
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if stat.S_ISSOCK(mode) or stat.S_ISBLK(mode):
        print("BREACH:", path, "is a socket or a block device")
    if DATA.search(path) and stat.S_ISREG(mode) and not path.startswith("/in/") and os.path.getsize(path) > 4096:
        print("BREACH: a data set?", path)


def readable(path):
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        with open(path, "rb") as file:
            return bool(file.read(16))
    except OSError:
        return False


def differs(what, found, known):
    if found - known:
        print("BREACH:", what, "holds", sorted(found - known))
