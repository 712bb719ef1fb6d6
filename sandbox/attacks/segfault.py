"""Reads address 0.

expect: crash
reason: SIGSEGV
log: Segmentation fault
"""

import ctypes


def unlearn(model, retain):
    ctypes.string_at(0)
