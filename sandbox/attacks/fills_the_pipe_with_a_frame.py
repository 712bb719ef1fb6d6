"""Announces weights of the right length, then floods the pipe with far more than that.

expect: invalid
"""

import os
import struct
import sys

from safetensors.torch import save


def unlearn(model, retain):
    output, length = channel()._output, len(save(model.state_dict()))
    os.write(output, struct.pack("<cQ", b"W", length))
    while True:
        os.write(output, b"?" * 65536)


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
