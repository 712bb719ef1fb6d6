"""Announces frames that are far longer than they may be.

expect: invalid
reason: announces
variants: weights, error, largest
"""

import os
import struct
import sys


def unlearn(model, retain, *, variant="weights"):
    kind, length = {"weights": (b"W", 2**40), "error": (b"E", 2**20), "largest": (b"W", 2**64 - 1)}[variant]
    os.write(channel()._output, struct.pack("<cQ", kind, length))
    return model


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
