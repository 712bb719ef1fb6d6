"""Aborts, as a failed assertion in native code does.

expect: crash
reason: SIGABRT
log: Aborted
"""

import os


def unlearn(model, retain):
    os.abort()
