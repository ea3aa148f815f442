"""Messages as bytes: msgpack arrays `[tag, fields...]`, with a `Usage` as an array of its own.

The schema is the table `SCHEMAS`, held against the messages' own annotations by a test. Lists are checked by C code
only: the set of their elements' types, so that a decoded message is what it says, at some 20 ns an element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import chain
from operator import attrgetter
from typing import Any, Final, cast

import msgpack

from scheduler.protocol import messages
from scheduler.protocol.errors import CodecError
from scheduler.protocol.messages import Message, Plane, TransferKind, Usage

VERSION: Final = 3
"""Version of all that goes over a wire or into a journal; raised when a tag or a field changes its meaning."""


_MSGPACK: Final[Any] = msgpack  # it ships no types


class Field(Enum):
    """What a field of a message can be."""

    INT = "int"
    TEXT = "str"
    FLAG = "bool"
    INTS = "list[int]"
    BLOBS = "list[bytes]"
    TEXTS = "list[str]"
    INT_LISTS = "list[list[int]]"
    PLANE = "Plane"
    KIND = "TransferKind"
    USAGE = "Usage"


_INT, _TEXT, _FLAG, _INTS, _BLOBS, _TEXTS, _INT_LISTS = (
    Field.INT,
    Field.TEXT,
    Field.FLAG,
    Field.INTS,
    Field.BLOBS,
    Field.TEXTS,
    Field.INT_LISTS,
)

SCHEMAS: Final[tuple[tuple[type, tuple[Field, ...]], ...]] = (
    (messages.RequestsArrived, (_INTS, _BLOBS, _INT_LISTS, _INTS, _INT, _TEXTS)),
    (messages.ArrivalsEnded, ()),
    (messages.LookupPrefixes, (_INTS, _INTS, _INT_LISTS, _INTS)),
    (messages.PrefixesFound, (_TEXT, _INTS, _INTS, _INTS)),
    (messages.StorePrefixes, (_INTS,)),
    (messages.ReleasePrefixes, (_INTS,)),
    (messages.StartPrefill, (_INTS, _INTS, _INTS, _INTS, _BLOBS, _INT_LISTS, _INTS)),
    (messages.PrefillStepped, (_TEXT, _INT, _INTS, _INTS, _INTS, _INTS, _INTS, _INT, Field.USAGE)),
    (messages.ReserveKv, (_INTS, _INTS)),
    (messages.KvReserved, (_TEXT, _INT, _INTS, _INTS)),
    (messages.StartTransfer, (_INT, Field.KIND, Field.PLANE, _TEXT, _TEXT, _INTS, _INTS, _FLAG, _INT, _INT)),
    (messages.TransferDone, (_INT, Field.KIND, Field.PLANE, _INT, _INT, _INT, _INT)),
    (messages.ReleaseKv, (_INTS,)),
    (messages.StartDecode, (_INTS, _INTS, _BLOBS)),
    (messages.DecodeStepped, (_TEXT, *(_INT,) * 8, *(_INTS,) * 6, Field.USAGE)),
    (messages.RunEnded, (_FLAG,)),
    (messages.UsageReported, (_TEXT, Field.USAGE)),
    (messages.ReportUsage, ()),
    (messages.WorkersLost, (_TEXTS,)),
    (messages.WorkersJoined, (_TEXTS,)),
    (messages.CancelReservations, (_INTS,)),
    (messages.ReservationsCancelled, (_TEXT, _INTS)),
    (messages.FinishTransfer, (_INT,)),
    (messages.CancelTransfer, (_INT,)),
    (messages.TransferFailed, (_INT, Field.KIND, Field.PLANE, _INT)),
    (messages.FailParts, (_TEXTS,)),
    (messages.RepairParts, (_TEXTS,)),
    (messages.PartsChanged, (_INT, _TEXTS, _INTS, _INTS, _TEXTS, _TEXTS, _INT_LISTS)),
    (messages.AvoidDies, (_INTS,)),
    (messages.StandingLoad, (_TEXT, _INT, _INT, _INT)),
    (messages.LinkShare, (_INT,)),
    (messages.CancelRequests, (_INTS,)),
    (messages.RequestsCancelled, (_TEXT, _INTS)),
    (messages.SetPowerBudget, (_INT,)),
    (messages.PowerBudgetSet, (_TEXT, _INT, _INT)),
    (messages.PrefixesLost, (_TEXT, _INTS, _INTS)),
    (messages.CacheServersChanged, (_INT, _INTS, _INTS)),
    (messages.DrainCacheServers, (_TEXTS,)),
    (messages.CacheReported, (_TEXT, *(_INT,) * 17)),
    (messages.SetParked, (_FLAG,)),
    (messages.ParkedSet, (_TEXT, _INT, _FLAG)),
    (messages.InstanceProfiled, (_TEXT, *(_INTS,) * 5, _INT, _INT)),
    (messages.PoolServersChanged, (_TEXT, _INTS)),
    (messages.WorkersStarted, (_TEXTS,)),
    (messages.TransferOverdue, (_INT, _INT)),
    (messages.ChangeModel, (_TEXTS, _TEXT)),
    (messages.InstanceDrained, (_TEXT,)),
)
"""(message, its fields in order) by tag: the position in this table. Rows are added at the end, never moved."""


NUM_FIELDS_BEFORE: Final[dict[type, tuple[int, ...]]] = {messages.RequestsArrived: (5,), messages.StartTransfer: (8,)}
"""Of messages that have grown: how many fields they had. Those that came later have defaults, so that journals of
before can be read."""


def encode(message: Message) -> bytes:
    """One message as bytes; `CodecError` if a field holds what the wire cannot carry."""
    return pack(to_array(message))


def decode(data: bytes) -> Message:
    """The message that `encode` was given; `CodecError` for anything else."""
    return from_array(unpack(data))


def to_array(message: Message) -> tuple[object, ...]:
    """`(tag, fields...)` for a packer that knows `Usage`, such as `pack`."""
    row = _ROWS_BY_TYPE.get(type(message))
    if row is None:
        raise CodecError(f"cannot encode {type(message).__name__}: it is not a message of protocol version {VERSION}")
    tag, read = row
    return (tag, *read(message))


def from_array(array: object) -> Message:
    """The message of an unpacked array `[tag, fields...]`."""
    values = cast("list[Any]", array)
    if type(values) is not list or not values:
        raise CodecError(f"not a message: {type(values).__name__} in place of an array [tag, fields...]")
    tag = values[0]
    if type(tag) is not int or not 0 <= tag < len(SCHEMAS):
        raise CodecError(f"not a message of protocol version {VERSION}: unknown tag {_short(tag)}")
    kind, fields = SCHEMAS[tag]
    num_fields = len(values) - 1
    if num_fields != len(fields) and num_fields not in NUM_FIELDS_BEFORE.get(kind, ()):
        raise CodecError(f"not a {kind.__name__}: {len(values) - 1} fields in place of {len(fields)}")
    for position, field in enumerate(fields[:num_fields], 1):
        restored = _RESTORE[field](values[position])
        if restored is None:
            raise CodecError(f"not a {kind.__name__}: field {position} is no {field.value}: {_short(values[position])}")
        values[position] = restored
    return kind(*values[1:])


def pack(value: object) -> bytes:
    """Any nest of plain values and `Usage` as msgpack bytes; `CodecError` if it holds anything else."""
    try:
        # A fresh packer would allocate its buffer anew for each message.
        return cast("bytes", _PACKER.pack(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise CodecError(f"cannot encode: {' '.join(str(error).split())}") from error


def unpack(data: bytes) -> object:
    """The value of msgpack bytes; `CodecError` if they are none, or more than one."""
    try:
        return _MSGPACK.unpackb(data)
    except (ValueError, TypeError, OverflowError, _MSGPACK.UnpackException) as error:
        raise CodecError(f"not msgpack of protocol version {VERSION}: {' '.join(str(error).split())}") from error


def _pack_usage(value: object) -> tuple[int, int, int, float]:
    if type(value) is Usage:
        return (value.start_ns, value.end_ns, value.busy_ns, value.joules)
    raise TypeError(f"{type(value).__name__} {_short(value)} is no plain value")


_PACKER: Final = _MSGPACK.Packer(default=_pack_usage)


def _restore_ints(value: object) -> object:
    return value if _is_list(value, int) else None


def _restore_blobs(value: object) -> object:
    return value if _is_list(value, bytes) else None


def _restore_texts(value: object) -> object:
    return value if _is_list(value, str) else None


def _restore_int_lists(value: object) -> object:
    if not _is_list(value, list):
        return None
    return value if _types(chain.from_iterable(cast("list[list[object]]", value))) <= {int} else None


def _is_list(value: object, of: type) -> bool:
    return type(value) is list and _types(cast("list[object]", value)) <= {of}


def _types(values: Iterable[object]) -> set[type]:
    return set(map(type, values))


def _restore_plane(value: object) -> Plane | None:
    return _PLANES[value] if type(value) is int and 0 <= value < len(_PLANES) else None


def _restore_kind(value: object) -> TransferKind | None:
    return _KINDS[value] if type(value) is int and 0 <= value < len(_KINDS) else None


def _restore_usage(value: object) -> Usage | None:
    if type(value) is not list or tuple(map(type, cast("list[object]", value))) not in _USAGE_TYPES:
        return None
    return Usage(*cast("list[Any]", value))


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


_PLANES: Final = tuple(Plane)
_KINDS: Final = tuple(TransferKind)
_USAGE_TYPES: Final = frozenset({(int, int, int, float), (int, int, int, int)})

_RESTORE: Final[dict[Field, Callable[[object], object]]] = {
    Field.INT: lambda value: value if type(value) is int else None,
    Field.TEXT: lambda value: value if type(value) is str else None,
    Field.FLAG: lambda value: value if type(value) is bool else None,
    Field.INTS: _restore_ints,
    Field.BLOBS: _restore_blobs,
    Field.TEXTS: _restore_texts,
    Field.INT_LISTS: _restore_int_lists,
    Field.PLANE: _restore_plane,
    Field.KIND: _restore_kind,
    Field.USAGE: _restore_usage,
}
"""The value of a field as its message holds it, or None if it cannot be one."""


def _reader(kind: type) -> Callable[[Message], Sequence[object]]:
    """All fields of a message of this type as a tuple, in C where there are several."""
    names = cast("tuple[str, ...]", kind.__dict__["__slots__"])
    if not names:
        return lambda _: ()
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda message: (read(message),)


_ROWS_BY_TYPE: Final = {kind: (tag, _reader(kind)) for tag, (kind, _) in enumerate(SCHEMAS)}
