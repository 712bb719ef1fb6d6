"""Lets its children take the memory, each with less than the limit and all together with far more.

expect: oom
deadline: 60
memory: 700
"""

import os
import signal
import time


def unlearn(model, retain):
    parent = os.getpid()
    for _ in range(8):
        if os.fork() == 0:
            taken = bytearray(b"x") * (250 << 20)
            time.sleep(1000)
            del taken
    for _ in range(8):
        if os.WIFSIGNALED(os.wait()[1]):  # the limit struck one of them: bring down the rest too
            os.kill(parent, signal.SIGKILL)
