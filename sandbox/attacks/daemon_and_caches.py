"""Leaves a daemon and caches behind; the second unit looks for the first one's daemon, files and open sockets.

expect: ok
log: no traces
variants: first, second
"""

import contextlib
import os
import socket
import sys
import time

MARK = "unlearn-bench-attack-trace"
PLACES = ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue", os.path.expanduser("~/.cache"), "/in", sys.prefix)


def unlearn(model, retain, *, variant="first"):
    traces = [place for place in PLACES if os.path.exists(f"{place}/{MARK}")]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
            traces += [pid] if file.read().strip() == "daemon" else []
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect("\0" + MARK)
        traces.append("a socket")
    print("BREACH: traces of another unit" if traces else "no traces", traces)
    for place in PLACES:
        with contextlib.suppress(OSError):
            os.makedirs(place, exist_ok=True)
            with open(f"{place}/{MARK}", "wb") as file:
                file.write(b"cache" * 1000)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open("/proc/self/comm", "w") as file:
                file.write("daemon")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind("\0" + MARK)
            listener.listen()
            time.sleep(100_000)
        os._exit(0)
