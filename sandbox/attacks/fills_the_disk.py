"""Fills /tmp and /dev/shm with bytes and with inodes, and looks for any other place that can be written.

expect: ok
deadline: 120
log: /tmp full
log: /dev/shm full
"""

import os

SPACE = 40 << 20
INODES = 20_000
PIECE = b"x" * (1 << 20)


def unlearn(model, retain):
    for place in writable("/"):
        if not place.startswith(("/tmp", "/dev/shm", "/proc/")):
            print("BREACH: can write to", place)
    for place in ("/tmp", "/dev/shm"):
        written = fill(place)
        print(place, "full after", written >> 20, "MiB")
        if written > SPACE:
            print("BREACH: no limit on", place)
    files = make_files("/tmp")
    if files > INODES:
        print("BREACH: no limit on inodes in /tmp")
    print(files, "files, and", make_files("/dev/shm"), "in /dev/shm, which count as memory")


def writable(root):
    for folder, _, _ in os.walk(root):
        if os.access(folder, os.W_OK):
            yield folder


def fill(place):
    written = 0
    for number in range(200):
        try:
            with open(f"{place}/{number}", "wb", buffering=0) as file:
                written += file.write(PIECE)
        except OSError:
            break
    for number in range(200):
        if os.path.exists(f"{place}/{number}"):
            os.truncate(f"{place}/{number}", 0)
    return written


def make_files(place):
    for number in range(INODES + 1):
        try:
            os.close(os.open(f"{place}/inode-{number}", os.O_CREAT | os.O_WRONLY))
        except OSError:
            return number
    return INODES + 1
