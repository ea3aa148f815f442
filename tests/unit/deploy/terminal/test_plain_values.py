"""What a command line is taken to say without pydantic is what typer makes of it with pydantic."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperCommand
from typer.main import get_command

from deploy.terminal.plain_values import NOT_PLAIN, plain_value, take_plain_values

app = typer.Typer(add_completion=False)


@app.command()
def told(
    path: str,
    text: str | None = None,
    count: int = 1,
    size: Annotated[int, typer.Option(min=2, max=9)] = 2,
    rate: float | None = None,
    fast: bool = False,
    bounds: Annotated[list[str] | None, typer.Option()] = None,
) -> dict[str, Any]:
    """Return what it was told."""
    return {"path": path, "text": text, "count": count, "size": size, "rate": rate, "fast": fast, "bounds": bounds}


def run(arguments: list[str], *, is_plain: bool) -> tuple[str, Any]:
    """What the command was told, with types, or the error."""
    command = get_command(app)
    assert isinstance(command, TyperCommand)
    if is_plain:
        take_plain_values(command)
    try:
        values: dict[str, Any] = command.main(arguments, prog_name="told", standalone_mode=False)
    except typer.TyperException as error:
        return "error", error.format_message()
    return "told", {name: (type(value), value) for name, value in values.items()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["a"],
        ["7", "--text", "12", "--count", "007", "--size", "3", "--rate", "12", "--fast", "--bounds", "x<1"],
        ["a", "--rate", "1.5", "--count", "-3"],
        ["a", "--rate", "1e3", "--bounds", "x<1", "--bounds", "y<2"],
        ["a", "--count", "1_000"],
        ["a", "--count", "9" * 30],
        ["", "--text", ""],
        [],
        ["a", "--count", "many"],
        ["a", "--count", "1.5"],
        ["a", "--count", "\u0663"],
        ["a", "--size", "1"],
        ["a", "--size", "10"],
        ["a", "--rate", "fast"],
        ["a", "b"],
        ["a", "--unknown"],
    ],
)
def test_values_and_errors_are_those_of_typer(arguments: list[str]) -> None:
    assert run(arguments, is_plain=True) == run(arguments, is_plain=False)


def test_what_takes_a_closer_look_is_not_plain() -> None:
    assert plain_value("12", int) == 12
    assert plain_value("12", str) == "12"
    assert [plain_value(text, int) for text in ("", "-1", "1.0", "1_0", "\u00b2", "9" * 19)] == [NOT_PLAIN] * 6
    assert plain_value("yes", bool) is NOT_PLAIN
    assert plain_value("x", list[str]) is NOT_PLAIN
