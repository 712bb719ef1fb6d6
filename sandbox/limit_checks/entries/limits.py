"""Try every limit of the sandbox, and print one JSON object per line. Run by ``sandbox.limit_checks``."""

import ctypes
import json
import multiprocessing
import os
import resource
import socket
import time


def report(name, **result):
    print(json.dumps({"name": name, **result}), flush=True)


def error_of(function):
    try:
        function()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(key + ":"))


def mounted(place):
    lines = [line.split() for line in open("/proc/self/mounts")]
    return next(words[3] for words in reversed(lines) if words[1] == place).split(",")[0]


def fill(folder, chunk=1 << 20):
    """Bytes that fit into a folder, in files that are below the limit of one."""
    total, names = 0, []
    try:
        for number in range(8):
            names.append(f"{folder}/fill{number}")
            with open(names[-1], "wb", buffering=0) as file:
                for _ in range(16):
                    total += file.write(b"x" * chunk)
    except OSError:
        pass
    for name in names:
        if os.path.exists(name):
            os.remove(name)
    return total


def inodes(folder):
    count = 0
    try:
        while count < 20_000:
            os.close(os.open(f"{folder}/i{count}", os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError:
        pass
    for number in range(count):
        os.remove(f"{folder}/i{number}")
    return count


def open_files():
    handles = []
    try:
        while len(handles) < 10_000:
            handles.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for handle in handles:
        os.close(handle)
    return len(handles)


def largest_file(limit):
    """Why a file cannot be larger: sparse, so that only its limit can stop it."""
    with open("/tmp/large", "wb") as file:
        refused = error_of(lambda: os.ftruncate(file.fileno(), limit + 1))
    os.remove("/tmp/large")
    return refused


def processes():
    children = []
    try:
        while len(children) < 200:
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            children.append(pid)
    except OSError:
        pass
    for pid in children:
        os.kill(pid, 9)
    for pid in children:
        os.waitpid(pid, 0)
    return len(children)


def runs(path):
    with open("/bin/true", "rb") as source, open(path, "wb") as target:
        target.write(source.read())
    os.chmod(path, 0o755)
    return error_of(lambda: os.posix_spawn(path, [path], {}))


def burn(seconds, queue):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    queue.put(time.process_time())


def cores_used(seconds=1.0):
    """CPU seconds per second that three busy processes get together."""
    queue = multiprocessing.SimpleQueue()
    start = time.monotonic()
    workers = [multiprocessing.Process(target=burn, args=(seconds, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    total = sum(queue.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / (time.monotonic() - start)


def user(scratch):
    return {
        "uid": os.getuid(), "effective": status("CapEff"), "bounding": status("CapBnd"),
        "no_new_privileges": status("NoNewPrivs"), "seccomp": status("Seccomp"),
    }  # fmt: skip


def read_only(scratch):
    return {
        "write": error_of(lambda: open("/var/tmp/probe", "w")), "mount": mounted("/"),
        "stage": error_of(lambda: open("/in/probe", "w")),
        "proc": error_of(lambda: open("/proc/sys/kernel/hostname", "w").write("x")),
    }  # fmt: skip


def network(scratch):
    connect = error_of(lambda: socket.create_connection(("192.0.2.1", 80), timeout=2))
    return {"interfaces": sorted(os.listdir("/sys/class/net")), "connect": connect}


def ulimits(scratch):
    hard = (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK)
    lock = ctypes.CDLL(None, use_errno=True).mlock
    return {
        "hard": [resource.getrlimit(which)[1] for which in hard], "opened": open_files(),
        "large": largest_file(scratch), "mlock": lock(ctypes.create_string_buffer(1 << 20), ctypes.c_size_t(1 << 20)),
    }  # fmt: skip


TRIALS = {
    "user": user,
    "read-only": read_only,
    "network": network,
    "noexec": lambda scratch: {"tmp": runs("/tmp/true"), "shm": runs("/dev/shm/true")},
    "ulimits": ulimits,
    "scratch": lambda scratch: {"bytes": fill("/tmp"), "inodes": inodes("/tmp")},
    "shm": lambda scratch: {"bytes": fill("/dev/shm")},
    "cpu limit": lambda scratch: {"affinity": sorted(os.sched_getaffinity(0)), "used": cores_used()},
    "processes": lambda scratch: {"forked": processes()},
}


def unlearn(model, retain, *, limits=(), scratch=0):
    for name in limits:
        report(name, **TRIALS[name](scratch))
