"""Kills every process that it can name: all, its parent, its group, the lowest thousand, itself.

expect: crash
deadline: 20
reason: SIGKILL
"""

import contextlib
import os
import signal


def unlearn(model, retain):
    for pid in (-1, *range(1, 1000)):
        if pid != os.getpid():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
