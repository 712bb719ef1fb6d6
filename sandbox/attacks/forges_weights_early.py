"""Sends the original's weights at once, works on, and sends better weights later: only the first ones may count.

expect: ok
weights: original
"""

import sys
import threading
import time

import torch
from safetensors.torch import save


def unlearn(model, retain):
    output = channel()
    output.send(b"W", save(model.state_dict()))
    threading.Thread(target=improve, args=(model, output)).start()
    time.sleep(5)
    return model


def improve(model, output):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    output.send(b"W", save(model.state_dict()))


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
