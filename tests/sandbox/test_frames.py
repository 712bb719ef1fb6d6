from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_bench.sandbox import frames
from unlearn_bench.sandbox.frames import Frame, Parser, ProtocolError, encode, header

BOUNDS = {b"W": 100, b"E": 20}


def stored(parser: Parser) -> int:
    return len(parser._header) + len(parser._payload)


@given(st.sampled_from([b"W", b"E"]), st.binary(max_size=20), st.binary(max_size=30), st.data())
def test_the_first_frame_survives_any_fragmentation_and_the_rest_is_never_looked_at(
    kind: bytes, payload: bytes, junk: bytes, data: st.DataObject
) -> None:
    stream = encode(kind, payload) + junk
    parser, position, found = Parser(BOUNDS), 0, None
    while found is None:
        cut = data.draw(st.integers(position + 1, len(stream)))
        found, taken = parser.feed(stream[position:cut])
        position += taken
    assert found == Frame(kind, bytearray(payload))
    assert stream[position:] == junk
    assert stored(parser) == position


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_give_a_frame_within_bounds_or_a_protocol_error(chunks: list[bytes]) -> None:
    parser = Parser(BOUNDS)
    for chunk in chunks:
        try:
            frame, _ = parser.feed(chunk)
        except ProtocolError:
            break
        if frame is not None:
            assert len(frame.payload) <= BOUNDS[frame.kind]
            break
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
    assert Parser({b"G": 0}).feed(encode(b"G")) == (Frame(b"G", bytearray()), 9)
