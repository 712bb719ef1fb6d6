"""Sends a bad frame and goes on filling the pipe: an engine whose client stops reading hangs on kill.

expect: invalid
reason: channel
"""

import os
import sys


def unlearn(model, retain):
    output = channel()._output
    while True:
        os.write(output, b"?" * 65536)


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
