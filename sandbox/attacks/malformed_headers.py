"""Sends safetensors whose header is malformed.

expect: invalid
variants: empty, short, too_long, no_json, no_object, deep, duplicate, metadata, huge_number
variants: float_offset, bool_offset, negative, overlap, gap, past_the_end, trailing
"""

import json
import struct
import sys

from safetensors.torch import save

DEEP = 200


def unlearn(model, retain, *, variant="empty"):
    data = save(model.state_dict())
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    first, second = [name for name in header if name != "__metadata__"][:2]
    begin, end = header[first]["data_offsets"]
    raw = {
        "empty": lambda: b"",
        "short": lambda: data[:7],
        "too_long": lambda: struct.pack("<Q", 2**63) + data[8:],
        "no_json": lambda: pack(b"\x80\x04\x95" + b"x" * 100, body),
        "no_object": lambda: pack(json.dumps(list(header)).encode(), body),
        "deep": lambda: pack(b"[" * DEEP + b"]" * DEEP, body),
        "duplicate": lambda: pack(b"{" + json.dumps({first: header[first]}).encode()[1:-1] + b","
                                  + json.dumps(header).encode()[1:], body),
        "metadata": lambda: repack(header | {"__metadata__": {"rank": "1"}}, body),
        "huge_number": lambda: pack(json.dumps(header).encode().replace(b"[0,", b"[" + b"9" * 600 + b",", 1), body),
        "float_offset": lambda: repack(header | {first: header[first] | {"data_offsets": [float(begin), end]}}, body),
        "bool_offset": lambda: repack(header | {first: header[first] | {"shape": [True]}}, body),
        "negative": lambda: repack(header | {first: header[first] | {"data_offsets": [begin - 4, end - 4]}}, body),
        "overlap": lambda: repack(header | {first: header[first] | {"data_offsets": header[second]["data_offsets"]}},
                                  body),
        "gap": lambda: repack({name: shifted(entry, 4) for name, entry in header.items()}, b"\0" * 4 + body),
        "past_the_end": lambda: repack({name: shifted(entry, 2**40) for name, entry in header.items()}, body),
        "trailing": lambda: data + b"score",
    }  # fmt: skip
    channel().send(b"W", raw[variant]())


def pack(header, body):
    return struct.pack("<Q", len(header)) + header + body


def repack(header, body):
    return pack(json.dumps(header).encode(), body)


def shifted(entry, by):
    return entry | {"data_offsets": [offset + by for offset in entry["data_offsets"]]}


def channel():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"]
