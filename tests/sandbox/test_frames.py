from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import frames
from sandbox.frames import Frame, Parser, ProtocolError, encode, header

BOUNDS = {b"W": 100, b"E": 20}


def stored(parser: Parser) -> int:
    return len(parser._header) + len(parser._payload)


@given(st.lists(st.tuples(st.sampled_from([b"W", b"E"]), st.binary(max_size=20))), st.data())
def test_frames_survive_any_fragmentation(sent: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in sent)
    parser, received = Parser(BOUNDS), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        received += parser.feed(stream[:cut])
        stream = stream[cut:]
    assert received == [Frame(kind, bytearray(payload)) for kind, payload in sent]


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_give_frames_within_bounds_or_a_protocol_error(chunks: list[bytes]) -> None:
    parser = Parser(BOUNDS)
    for chunk in chunks:
        try:
            found = parser.feed(chunk)
        except ProtocolError:
            break
        assert all(len(frame.payload) <= BOUNDS[frame.kind] for frame in found)
    assert stored(parser) <= frames.HEADER.size + max(BOUNDS.values())


@pytest.mark.parametrize("kind, length", [(b"W", 101), (b"W", 2**64 - 1), (b"E", 21), (b"G", 0), (b"\0", 0)])
def test_bad_header_is_refused_before_its_payload_is_stored(kind: bytes, length: int) -> None:
    parser = Parser(BOUNDS)
    with pytest.raises(ProtocolError):
        parser.feed(header(kind, length) + b"x" * 10_000)
    assert stored(parser) == frames.HEADER.size
    with pytest.raises(ProtocolError):  # and nothing later is believed
        parser.feed(encode(b"E", b"fine"))


def test_an_empty_payload_completes_its_frame_at_once() -> None:
    assert Parser({b"G": 0}).feed(encode(b"G")) == [Frame(b"G", bytearray())]
