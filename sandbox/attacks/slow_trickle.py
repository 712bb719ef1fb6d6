"""Sends its weights byte by byte, to seem alive for ever and to train meanwhile.

expect: timeout
deadline: 4
"""

import os
import struct
import sys
import time

from safetensors.torch import save


def unlearn(model, retain):
    output, data = channel()._output, save(model.state_dict())
    for byte in struct.pack("<cQ", b"W", len(data)) + data:
        os.write(output, bytes([byte]))
        time.sleep(0.01)


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
