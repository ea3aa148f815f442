"""The codec: every message comes back equal, nothing else is taken for one, and a new message needs no table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, get_args
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.codec import CODEC, VERSION, Codec, from_array, pack, to_array, unpack
from scheduler.protocol.errors import CodecError
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import KvReserved, Message, ReleaseKv, Usage

INTS = st.integers(-(2**63), 2**64 - 1)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: INTS,
    str: st.text(),
    bool: st.booleans(),
    bytes: st.binary(),
    list[int]: st.lists(INTS),
    list[bytes]: st.lists(st.binary()),
    list[str]: st.lists(st.text()),
    list[list[int]]: st.lists(st.lists(INTS)),
    Plane: st.sampled_from(Plane),
    TransferKind: st.sampled_from(TransferKind),
    Usage: st.builds(Usage, INTS, INTS, INTS, st.floats(allow_nan=False) | INTS),
}
KINDS: tuple[type, ...] = get_args(Message)
NUM_PINNED, PINNED = 53, (8, 2141869487)
"""The version, and a checksum of the messages that it began with."""

PLAIN = st.recursive(
    st.none() | st.booleans() | INTS | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner),
    max_leaves=20,
)


def encode(message: Message) -> bytes:
    return pack(to_array(message))


def decode(data: bytes) -> Message:
    return from_array(unpack(data))


def made(kind: type) -> st.SearchStrategy[Message]:
    """Any message of this class, made as its annotations say."""
    fields = next(layout.field_types for layout in CODEC.layouts if layout.kind is kind)
    return st.builds(kind, *(VALUES[field] for field in fields.values()))


@pytest.mark.parametrize("kind", KINDS)
def test_each_message_comes_back_equal(kind: type) -> None:
    @given(made(kind))
    def check(message: Any) -> None:
        found = decode(encode(message))
        assert found == message
        assert type(found) is kind
        assert [type(getattr(found, name)) for name in kind.__slots__] == [
            type(getattr(message, name)) for name in kind.__slots__
        ]

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_each_message_tells_who_says_it_to_whom(kind: type) -> None:
    who = "(runtime|source|operator|provisioner|core|cache|fabric|prefill|decode|all)"
    assert re.match(rf"{who}(, {who})*( -> {who}(, {who})*)+: \w", kind.__doc__ or "")


def test_a_message_that_changes_is_another_version() -> None:
    """New messages at the end of the union are free. If one that was there has other fields or another place, raise
    `VERSION` and pin what there is now; if it was given another name, pin that."""
    said = [(layout.kind.__name__, list(layout.field_types.values())) for layout in CODEC.layouts[:NUM_PINNED]]
    assert (VERSION, crc32(repr(said).encode())) == PINNED


@dataclass(slots=True)
class Hello:
    """A message that the protocol does not have."""

    ids: Final[list[int]]
    plane: Final[Plane]


@dataclass(slots=True)
class Strange:
    """A message that the wire cannot carry."""

    ids: Final[list[int]]
    weights: Final[dict[str, float]]


def test_a_new_message_needs_no_table() -> None:
    codec, hello = Codec((*KINDS, Hello)), Hello([1, 2], Plane.RDMA)
    array = codec.to_array(hello)  # pyright: ignore[reportArgumentType]
    assert unpack(pack(array)) == [len(KINDS), [1, 2], 1]
    assert codec.from_array(unpack(pack(array))) == hello
    assert codec.to_array(ReleaseKv([1])) == CODEC.to_array(ReleaseKv([1]))


def test_an_annotation_that_the_wire_cannot_carry_is_refused() -> None:
    line = r"Strange.weights is dict\[str, float\]; the wire carries int, str, bool, bytes, list\[int\], "
    with pytest.raises(CodecError, match=line):
        Codec((Strange,))


def test_a_message_is_a_flat_array() -> None:
    assert unpack(encode(KvReserved("decode-0", [3, 4], [0, 1]))) == [9, "decode-0", [3, 4], [0, 1]]


@given(st.binary(max_size=200))
def test_random_bytes_are_no_message_or_a_sound_one(data: bytes) -> None:
    _decode_or_refuse(data)


@given(PLAIN)
def test_random_values_are_no_message_or_a_sound_one(value: object) -> None:
    _decode_or_refuse(pack(value))


@given(st.integers(0, len(KINDS) - 1), st.lists(PLAIN, max_size=16))
def test_random_fields_are_no_message_or_a_sound_one(tag: int, fields: list[object]) -> None:
    _decode_or_refuse(pack([tag, *fields]))


@given(st.one_of(list(map(made, KINDS))), st.data())
def test_a_damaged_message_is_no_message_or_a_sound_one(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


def _decode_or_refuse(data: bytes) -> None:
    try:
        message = decode(data)
    except CodecError as error:
        line = str(error)
    else:
        line = ""
        again = decode(encode(message))
        assert again == message or "nan" in repr(message)
    assert "\n" not in line
    assert len(line) < 300


@pytest.mark.parametrize(
    ("array", "part"),
    [
        ([99, []], "unknown tag 99"),
        ([True, []], "unknown tag True"),
        ([12], "0 fields in place of 1"),
        ([12, [1, True]], "no list[int]"),
        ([12, [1, 2.0]], "no list[int]"),
        ([13, [1], [2], ["text"]], "no list[bytes]"),
        ([10, 1, 9, 0, "a", "b", [1], [], True, 0, 0], "no TransferKind"),
        ([16, "decode-0", [1, 2, 3]], "no Usage"),
        ([15, 1], "no bool"),
        ([18, ["a", 1], False], "no list[str]"),
        ({}, "not a message"),
    ],
)
def test_what_is_wrong_is_named(array: object, part: str) -> None:
    with pytest.raises(CodecError, match=part.replace("[", r"\[")):
        decode(pack(array))


BIG, SURROGATE, OBJECT = 2**64, "\ud800", object()


@pytest.mark.parametrize("value", [BIG, SURROGATE, OBJECT], ids=["too large", "no Unicode", "no plain value"])
def test_what_the_wire_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        encode(ReleaseKv([value]))
    assert decode(encode(ReleaseKv([1]))) == ReleaseKv([1])


def test_what_is_no_message_is_refused() -> None:
    usage: Any = Usage(0, 0, 0, 0.0)
    with pytest.raises(CodecError, match="cannot encode Usage"):
        encode(usage)
