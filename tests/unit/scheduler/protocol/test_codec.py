"""The codec: every message comes back equal, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol import messages
from scheduler.protocol.codec import SCHEMAS, Field, decode, encode, pack, unpack
from scheduler.protocol.errors import CodecError
from scheduler.protocol.messages import KvReserved, Message, Plane, ReleaseKv, TransferKind, Usage

INTS = st.integers(-(2**63), 2**64 - 1)
USAGES = st.builds(Usage, INTS, INTS, INTS, st.floats(allow_nan=False) | INTS)
VALUES: dict[Field, st.SearchStrategy[Any]] = {
    Field.INT: INTS,
    Field.TEXT: st.text(),
    Field.FLAG: st.booleans(),
    Field.INTS: st.lists(INTS),
    Field.BLOBS: st.lists(st.binary()),
    Field.TEXTS: st.lists(st.text()),
    Field.INT_LISTS: st.lists(st.lists(INTS)),
    Field.PLANE: st.sampled_from(Plane),
    Field.KIND: st.sampled_from(TransferKind),
    Field.USAGE: USAGES,
}
TAGS = [
    "RequestsArrived",
    "ArrivalsEnded",
    "LookupPrefixes",
    "PrefixesFound",
    "StorePrefixes",
    "ReleasePrefixes",
    "StartPrefill",
    "PrefillStepped",
    "ReserveKv",
    "KvReserved",
    "StartTransfer",
    "TransferDone",
    "ReleaseKv",
    "StartDecode",
    "DecodeStepped",
    "RunEnded",
    "UsageReported",
    "ReportUsage",
    "WorkersLost",
    "WorkersJoined",
    "CancelReservations",
    "ReservationsCancelled",
    "FinishTransfer",
    "CancelTransfer",
    "TransferFailed",
    "FailParts",
    "RepairParts",
    "PartsChanged",
    "AvoidDies",
    "StandingLoad",
    "LinkShare",
    "CancelRequests",
    "RequestsCancelled",
    "SetPowerBudget",
    "PowerBudgetSet",
    "PrefixesLost",
    "CacheServersChanged",
    "DrainCacheServers",
    "CacheReported",
    "SetParked",
    "ParkedSet",
    "InstanceProfiled",
    "PoolServersChanged",
    "WorkersStarted",
    "TransferOverdue",
    "ChangeModel",
    "InstanceDrained",
]

PLAIN = st.recursive(
    st.none() | st.booleans() | INTS | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner),
    max_leaves=20,
)


def any_message() -> st.SearchStrategy[Message]:
    return st.one_of([st.builds(kind, *(VALUES[field] for field in fields)) for kind, fields in SCHEMAS])


@pytest.mark.parametrize(("kind", "fields"), SCHEMAS, ids=lambda value: getattr(value, "__name__", ""))
def test_each_message_comes_back_equal(kind: type, fields: tuple[Field, ...]) -> None:
    @given(st.builds(kind, *(VALUES[field] for field in fields)))
    def check(message: Any) -> None:
        found = decode(encode(message))
        assert found == message
        assert type(found) is kind
        assert [type(getattr(found, name)) for name in kind.__slots__] == [
            type(getattr(message, name)) for name in kind.__slots__
        ]

    check()


def test_the_schema_is_what_the_messages_say() -> None:
    assert {kind for kind, _ in SCHEMAS} == set(get_args(messages.Message))
    for kind, fields in SCHEMAS:
        hints = get_type_hints(kind, dict(vars(messages)))
        said = [
            str(get_args(hint)[0]).rpartition(".")[2].removesuffix("'>").removeprefix("<class '")
            for hint in hints.values()
        ]
        said = [text.removeprefix("<enum '") for text in said]
        assert said == [field.value for field in fields], kind


def test_tags_never_move() -> None:
    assert [kind.__name__ for kind, _ in SCHEMAS[: len(TAGS)]] == TAGS


def test_a_message_is_a_flat_array() -> None:
    assert unpack(encode(KvReserved("decode-0", 7, [3, 4], [0, 1]))) == [9, "decode-0", 7, [3, 4], [0, 1]]


@given(st.binary(max_size=200))
def test_random_bytes_are_no_message_or_a_sound_one(data: bytes) -> None:
    _decode_or_refuse(data)


@given(PLAIN)
def test_random_values_are_no_message_or_a_sound_one(value: object) -> None:
    _decode_or_refuse(pack(value))


@given(st.integers(0, len(SCHEMAS) - 1), st.lists(PLAIN, max_size=16))
def test_random_fields_are_no_message_or_a_sound_one(tag: int, fields: list[object]) -> None:
    _decode_or_refuse(pack([tag, *fields]))


@given(any_message(), st.data())
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
        ([10, 1, 9, 0, "a", "b", [1], [], 5], "no TransferKind"),
        ([16, "decode-0", [1, 2, 3]], "no Usage"),
        ([15, 1], "no bool"),
        ([18, ["a", 1]], "no list[str]"),
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
