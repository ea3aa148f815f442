"""What a setting is: a field of a model that says how it is written, read and checked.

A model (`models.py`) is a frozen struct of the values that one part of the system needs. Each of its fields is made
by `setting`, which keeps beside it all that anybody asks of the setting: the flat name under which flags, files,
journals and clusters know it, its default as text or number, its bounds, the parser from text to value, and the flag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin, overload

from msgspec import Struct
from msgspec.structs import replace

from scheduler.protocol.catalog import shorten, unknown
from scheduler.protocol.errors import ConfigError

T = TypeVar("T")
Value = TypeVar("Value")

Plain = str | int | float | bool | None
"""A setting as it is told, stored and sent."""


class Setting(Struct, frozen=True):
    """How one setting is told and read; `name` is its flat name.

    `type` is that of the plain value, in a file above all. `parse(plain, *needed)` makes the value, with the values of
    the settings that it `needs`, which come before it. `usual(*needed)` is the default where that depends on them.
    `kept(plain)` is what is stored and sent in place of what was told, such as an absolute path. `between`: least and
    largest number. `flag`: metavar and help on a command line, if it has a flag. `is_extra`: with its default a run
    is as it was before there was this setting, and nothing is told of it.
    """

    name: str
    default: Plain
    type: Any
    parse: Callable[..., Any] | None = None
    needs: tuple[str, ...] = ()
    usual: Callable[..., Plain] | None = None
    kept: Callable[[Any], Plain] | None = None
    between: tuple[int, float] | None = None
    flag: tuple[str, str] | None = None
    is_extra: bool = False

    def value(self, plain: Plain, needed: Sequence[Any]) -> Any:
        """Checked and parsed. Raises `ConfigError` without a place."""
        if get_origin(self.type) is Literal and plain not in (known := get_args(self.type)):
            raise ConfigError(unknown("value", plain, known))
        if self.between is not None and isinstance(plain, int | float):
            low, high = self.between
            if not low <= plain <= high:
                raise ConfigError(f"{shorten(plain)} is out of range; give a number from {low:,} to {high:,}")
        return plain if self.parse is None else self.parse(plain, *needed)


@overload
def setting(
    default: T,
    *,
    name: str = "",
    type: Any = None,
    between: tuple[int, float] | None = None,
    flag: tuple[str, str] | None = None,
    is_extra: bool = False,
) -> T:
    """Of a plain value."""


@overload
def setting(
    default: Plain,
    parse: Callable[..., Value],
    *,
    name: str = "",
    type: Any = None,
    needs: tuple[str, ...] = (),
    usual: Callable[..., Plain] | None = None,
    kept: Callable[[Any], Plain] | None = None,
    flag: tuple[str, str] | None = None,
    is_extra: bool = False,
) -> Value:
    """Of a value that is parsed."""


def setting(
    default: Any, parse: Callable[..., Any] | None = None, *, name: str = "", type: Any = None, **how: Any
) -> Any:
    """A field of a model, whose default is the setting itself: who makes a model gives all its values. `name` is the
    flat name, if that is not the field's; all else is as in `Setting`."""
    plain_type = default.__class__ if type is None else type
    return Setting(name, default, plain_type, parse, **how)


def settings_of(model: type[Any]) -> Mapping[str, Setting]:
    """By name of the field, in their order."""
    found = zip(model.__struct_fields__, model.__struct_defaults__)
    return {name: replace(one, name=one.name or name) for name, one in found}
