from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from unlearn_bench.sandbox.weights import InvalidWeights, bound, check

LAYOUT = {
    "bn.running_var": ("F32", (3,)),
    "bn.num_batches_tracked": ("I64", ()),
    "fc.weight": ("F32", (2, 3)),
    "mask": ("BOOL", (2,)),
}


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    return {
        "bn.running_var": np.array([0, 1, 2], np.float32),
        "bn.num_batches_tracked": np.array(7, np.int64),
        "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "mask": np.array([True, False]),
    }


def raw(header: Any, data: bytes) -> bytes:
    """A safetensors file written by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def parts() -> tuple[dict[str, Any], bytes]:
    """Header and data of a good file, to be spoilt."""
    good = save(arrays())
    size = int.from_bytes(good[:8], "little")
    return json.loads(good[8 : 8 + size]), good[8 + size :]


def test_good_weights_come_back_equal_writable_and_within_the_bound() -> None:
    data = save(arrays())
    assert len(data) <= bound(LAYOUT)
    found = check(bytearray(data), LAYOUT)
    assert list(found) == list(LAYOUT)
    for name, expected in load(data).items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype
        assert found[name].shape == LAYOUT[name][1]
        assert found[name].flags.writeable


def replaced(name: str, value: np.ndarray[Any, Any]) -> bytes:
    return save({**arrays(), name: value})


@pytest.mark.parametrize(
    "data, words",
    [
        (replaced("fc.weight", np.full((2, 3), np.nan, np.float32)), "not finite"),
        (replaced("fc.weight", np.full((2, 3), np.inf, np.float32)), "not finite"),
        (replaced("bn.running_var", np.array([0, -1, 2], np.float32)), "negative variances"),
        (replaced("fc.weight", np.zeros((3, 2), np.float32)), r"shape \[3, 2\], expected \[2, 3\]"),
        (replaced("fc.weight", np.zeros((2, 3), np.float16)), "dtype F16, expected F32"),
        (replaced("bn.num_batches_tracked", np.array(7, np.int32)), "dtype I32, expected I64"),
        (replaced("extra\x1b[31m", np.zeros(1, np.float32)), r"1 unexpected \(such as 'extra'\)"),
        (save({"fc.weight": arrays()["fc.weight"]}), "3 missing"),
        (save({}), "4 missing"),
    ],
)
def test_wrong_layouts_and_values_are_named(data: bytes, words: str) -> None:
    with pytest.raises(InvalidWeights, match=words) as caught:
        check(data, LAYOUT)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def spoilt_header(change: Callable[[dict[str, Any]], Any]) -> bytes:
    header, data = parts()
    changed = change(header)
    return raw(header if changed is None else changed, data)


LYING: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "seven bytes": lambda: b"\0" * 7,
    "header longer than the file": lambda: (1000).to_bytes(8, "little") + b"{}",
    "header of 2**63 bytes": lambda: (2**63).to_bytes(8, "little") + b"{}",
    "pickle": lambda: b"\x80\x04\x95" + b"\0" * 400,
    "not JSON": lambda: raw(b"{" * 50, b""),
    "deeply nested": lambda: raw(b"[" * 1500, b""),
    "not UTF-8": lambda: raw(b'{"\xff": 1}', b""),
    "a list": lambda: raw([], b""),
    "duplicate key": lambda: raw(b'{"mask": 1, ' + json.dumps(parts()[0]).encode()[1:], parts()[1]),
    "entry is a number": lambda: spoilt_header(lambda h: h.update(mask=3)),
    "entry has more keys": lambda: spoilt_header(lambda h: h["mask"].update(more=1)),
    "metadata": lambda: spoilt_header(lambda h: h.update(__metadata__={"a": "b"})),
    "offset beyond the file": lambda: spoilt_header(lambda h: h["mask"].update(data_offsets=[10**9, 10**9 + 2])),
    "negative offset": lambda: spoilt_header(lambda h: h["mask"].update(data_offsets=[-2, 0])),
    "offsets overlap": lambda: spoilt_header(lambda h: h["bn.running_var"].update(data_offsets=[0, 12])),
    "offsets leave a gap": lambda: raw(
        parts()[0] | {"mask": parts()[0]["mask"] | {"data_offsets": [46, 48]}}, parts()[1] + parts()[1][-2:]
    ),
    "offset is a float": lambda: spoilt_header(lambda h: h["mask"].update(data_offsets=[44.0, 46.0])),
    "offset is a boolean": lambda: spoilt_header(lambda h: h["bn.num_batches_tracked"].update(data_offsets=[False, 8])),
    "three offsets": lambda: spoilt_header(lambda h: h["mask"].update(data_offsets=[44, 46, 46])),
    "shape is a string": lambda: spoilt_header(lambda h: h["mask"].update(shape="2")),
    "shape with a boolean": lambda: spoilt_header(lambda h: h["fc.weight"].update(shape=[2, 3, True])),
    "trailing bytes": lambda: save(arrays()) + b"\0",
    "truncated": lambda: save(arrays())[:-1],
    "neither true nor false": lambda: raw(parts()[0], parts()[1][:-1] + b"\x07"),
}  # fmt: skip


@pytest.mark.parametrize("name", LYING)
def test_malformed_files_are_invalid(name: str) -> None:
    with pytest.raises(InvalidWeights):
        check(LYING[name](), LAYOUT)


@given(st.binary(max_size=300))
def test_any_header_and_data_raise_nothing_but_invalid(noise: bytes) -> None:
    for data in (noise, raw(noise, noise)):
        with pytest.raises(InvalidWeights):
            check(data, LAYOUT)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_one_changed_byte_never_crashes_the_check(position: int, value: int) -> None:
    data = bytearray(save(arrays()))
    data[position % len(data)] = value
    try:
        found = check(data, LAYOUT)
    except InvalidWeights:
        return
    assert all(np.isfinite(array).all() for array in found.values())
