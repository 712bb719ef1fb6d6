"""Announces the weights, sends half of them and ends.

expect: crash
reason: exit code 0
"""

import os
import struct
import sys

from safetensors.torch import save


def unlearn(model, retain):
    data = save(model.state_dict())
    os.write(channel()._output, struct.pack("<cQ", b"W", len(data)) + data[: len(data) // 2])
    os._exit(0)


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
