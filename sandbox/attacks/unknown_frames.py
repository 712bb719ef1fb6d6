"""Sends frames of other kinds, with a score, a status and a time in them.

expect: invalid
reason: unknown frame type
variants: S, G, R, zero
"""

import json
import sys


def unlearn(model, retain, *, variant="S"):
    kind = {"zero": b"\0"}.get(variant, variant.encode())
    channel().send(kind, json.dumps({"status": "ok", "score": 1.0, "rank": 1, "seconds": 0.001}).encode())
    return model


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
