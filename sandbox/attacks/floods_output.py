"""Floods stdout and stderr from two threads, without end.

expect: timeout
deadline: 4
log: flood
"""

import os
import threading


def unlearn(model, retain):
    threading.Thread(target=flood, args=(1,), daemon=True).start()
    flood(2)


def flood(fd):
    while True:
        os.write(fd, b"\x1b[31mflood " * 8192 + b"\n")
