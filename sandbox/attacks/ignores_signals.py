"""Ignores or blocks every signal that can be, in all threads, and stays.

expect: timeout
deadline: 3
"""

import contextlib
import signal
import time


def unlearn(model, retain):
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        time.sleep(1)
