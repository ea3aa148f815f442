"""Messages as bytes: msgpack arrays `[tag, fields...]`, with a `Usage` as an array of its own.

Nothing is said here of any one message. A message's tag is its place in the union `Message`; its fields, in order, are
the annotations of its class, each one of the types in `_READERS`, else the codec cannot be made. So a new message is a
class and a line at the end of the union.

Lists are checked by C code only: the set of their elements' types, so that a decoded message is what its annotations
say, at some 20 ns an element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, cast, get_args, get_origin, get_type_hints

import msgpack
from msgspec import Struct

from scheduler.protocol.errors import CodecError
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import Message, Usage

VERSION: Final = 8
"""Version of all that goes over a wire or into a journal; raised when a message that is there already changes: its
place in the union, its fields or their meaning. A new message at the end of the union leaves it as it is."""

Reader = Callable[[object], object]
"""Takes what msgpack unpacked and returns it as the field of a message, or None if it cannot be one."""

_MSGPACK: Final[Any] = msgpack  # it ships no types


class Layout(Struct, frozen=True):
    """How messages of one class are written: the types of its fields, by name and in order, and what reads each back.

    `values` gives all fields of a message as a tuple, in C where there are several.
    """

    kind: Callable[..., Message]
    field_types: dict[str, object]
    readers: tuple[Reader, ...]
    values: Callable[[Message], Sequence[object]]


class Codec:
    """Messages of these classes as plain arrays: the place of a class among them is its tag.

    Raises `CodecError` if a field has an annotation that the wire cannot carry.
    """

    def __init__(self, kinds: Sequence[type]) -> None:
        self.layouts: Final = tuple(map(_layout_of, kinds))
        self._rows_by_type = {kind: (tag, self.layouts[tag].values) for tag, kind in enumerate(kinds)}

    def to_array(self, message: Message) -> tuple[object, ...]:
        """`(tag, fields...)` for a packer that knows `Usage`, such as `pack`."""
        row = self._rows_by_type.get(type(message))
        if row is None:
            name = type(message).__name__
            raise CodecError(f"cannot encode {name}: it is not a message of protocol version {VERSION}")
        tag, values = row
        return (tag, *values(message))

    def from_array(self, array: object) -> Message:
        """The message of an unpacked array `[tag, fields...]`, which is used up."""
        values = cast("list[Any]", array)
        if type(values) is not list or not values:
            raise CodecError(f"not a message: {type(values).__name__} in place of an array [tag, fields...]")
        tag = values.pop(0)
        if type(tag) is not int or not 0 <= tag < len(self.layouts):
            raise CodecError(f"not a message of protocol version {VERSION}: unknown tag {_short(tag)}")
        layout = self.layouts[tag]
        readers = layout.readers
        if len(values) != len(readers):
            raise CodecError(f"not a {_name(layout.kind)}: {len(values)} fields in place of {len(readers)}")
        for position, read in enumerate(readers):
            restored = read(values[position])
            if restored is None:
                expected = _name(list(layout.field_types.values())[position])
                what = f"field {position + 1} is no {expected}: {_short(values[position])}"
                raise CodecError(f"not a {_name(layout.kind)}: {what}")
            values[position] = restored
        return layout.kind(*values)


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


def _plain_reader(of: type) -> Reader:
    return lambda value: value if type(value) is of else None


def _list_reader(of: type) -> Reader:
    only = {of}

    def read(value: object) -> object:
        if type(value) is not list:
            return None
        values = cast("list[object]", value)
        return values if _types(values) <= only else None

    return read


def _read_int_lists(value: object) -> object:
    if _read_lists(value) is None:
        return None
    return value if _types(chain.from_iterable(cast("list[list[object]]", value))) <= {int} else None


_read_lists: Final = _list_reader(list)


def _enum_reader(of: type[Plane | TransferKind]) -> Reader:
    members = tuple(of)
    return lambda value: members[value] if type(value) is int and 0 <= value < len(members) else None


def _read_usage(value: object) -> Usage | None:
    if type(value) is not list or tuple(map(type, cast("list[object]", value))) not in _USAGE_TYPES:
        return None
    return Usage(*cast("list[Any]", value))


def _types(values: Iterable[object]) -> set[type]:
    return set(map(type, values))


_USAGE_TYPES: Final = frozenset({(int, int, int, float), (int, int, int, int)})

_READERS: Final[dict[object, Reader]] = {
    int: _plain_reader(int),
    str: _plain_reader(str),
    bool: _plain_reader(bool),
    bytes: _plain_reader(bytes),
    list[int]: _list_reader(int),
    list[bytes]: _list_reader(bytes),
    list[str]: _list_reader(str),
    list[list[int]]: _read_int_lists,
    Plane: _enum_reader(Plane),
    TransferKind: _enum_reader(TransferKind),
    Usage: _read_usage,
}
"""By what the annotation of a field can be, less its `Final`."""


def _layout_of(kind: type) -> Layout:
    hints = get_type_hints(kind)
    field_types = {name: get_args(hint)[0] if get_origin(hint) is Final else hint for name, hint in hints.items()}
    for name, annotation in field_types.items():
        if annotation not in _READERS:
            known = ", ".join(map(_name, _READERS))
            raise CodecError(f"{kind.__name__}.{name} is {_name(annotation)}; the wire carries {known}")
    readers = tuple(_READERS[annotation] for annotation in field_types.values())
    return Layout(kind, field_types, readers, _values_of(list(field_types)))


def _values_of(names: Sequence[str]) -> Callable[[Message], Sequence[object]]:
    if not names:
        return lambda _: ()
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda message: (read(message),)


def _name(annotation: Any) -> str:
    return str(annotation) if get_args(annotation) else annotation.__name__


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


CODEC: Final = Codec(get_args(Message))
"""All messages of the protocol."""

to_array: Final = CODEC.to_array
from_array: Final = CODEC.from_array
