"""Plain values of a command line, taken as they are.

typer has pydantic check each value, also that of an option that was not given; importing pydantic and building a
validator for every option would take a quarter of a short replay's time. Values whose outcome is plain pass here
without it: options not given, texts, and numbers in digits. All else is checked by typer, a wrong value first of all,
so that what is said of it is typer's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

if TYPE_CHECKING:
    from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

MAX_DIGITS: Final = 18
"""Of a whole number that is read here; longer ones are left to typer."""

NOT_PLAIN: Final = object()


def take_plain_values(command: TyperCommand | TyperGroup) -> None:
    """Have the parameters of a command, and of its commands if it is a group, take plain values without pydantic."""
    from typer import Context

    for parameter in cast("list[TyperArgument | TyperOption]", command.get_params(Context(command))):
        if not parameter.type_descriptor.is_ranged:
            parameter.process_value = PlainFirst(parameter, parameter.process_value)
    for inner in getattr(command, "commands", {}).values():
        take_plain_values(inner)


class PlainFirst(Struct, frozen=True):
    """Stands for `process_value` of a parameter without a range; `check` is typer's own."""

    parameter: TyperArgument | TyperOption
    check: Callable[[Any, Any], Any]

    def __call__(self, ctx: Any, value: Any) -> Any:
        """The value, as it is if it is plain; else as typer makes it, or typer's error."""
        one = self.parameter
        if value is None and not one.required:
            plain = () if one.multiple or one.nargs == -1 else None
        else:
            plain = plain_value(value, one.type_descriptor.annotation)
        if plain is NOT_PLAIN:
            return self.check(ctx, value)
        return plain if one.callback is None else one.callback(ctx, one, plain)


def plain_value(value: Any, kind: Any) -> Any:
    """The value of a parameter of type `kind` that was given as `value`; `NOT_PLAIN` if that takes a closer look."""
    if kind in (str, bool, int, float) and type(value) is kind:
        return value
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS and kind in (int, float):
        return kind(value)
    return NOT_PLAIN
