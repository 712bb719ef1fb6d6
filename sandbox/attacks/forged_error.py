"""Sends an error frame of its own, which claims success, blames the benchmark or is no JSON at all.

expect: crash
variants: claims_ok, claims_infra, no_object, no_json, deep
"""

import json
import sys


def unlearn(model, retain, *, variant="claims_ok"):
    payload = {
        "claims_ok": json.dumps({"status": "ok", "seconds": 0.1, "weights": {}}).encode(),
        "claims_infra": json.dumps({"status": "infra", "type": "Benchmark", "message": "try it again"}).encode(),
        "no_object": b"[1, 2, 3]",
        "no_json": b"\xff\xfe\x00\x1b[31m",
        "deep": b"[" * 200_000,
    }[variant]
    channel().send(b"E", payload)


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
