"""Groups of options in place of parameters: what a command line shows, and what the function is given."""

from __future__ import annotations

from typing import Any

from typer import Typer
from typer.main import get_command

from deploy.settings.options import TRACE_OPTIONS, Json, Told, setting_options, with_options
from deploy.settings.settings import SETTINGS
from scheduler.sources.traces.options import TraceOptions


def test_options_of_a_group_stand_where_its_parameter_was_and_make_its_value() -> None:
    app, given = Typer(add_completion=False), dict[str, Any]()

    @app.command()
    @with_options(told=setting_options(["plan", "pue"]), rows=TRACE_OPTIONS)
    def plan(trace: str, told: Told, rows: TraceOptions, json: Json = False) -> int:  # pyright: ignore[reportUnusedFunction]
        """A command."""
        given.update(trace=trace, told=told, rows=rows, json=json)
        return 0

    command = get_command(app)
    names = [parameter.name for parameter in command.params]
    assert names[:4] == ["trace", "config", "plan", "pue"]
    assert names[4:] == [*TRACE_OPTIONS.options, "json"]
    # Those are settings of the run.
    assert set(TRACE_OPTIONS.options) == {*TraceOptions.__struct_fields__} - {
        "seed",
        "block_tokens",
        "finds_answers",
        "links",
        "part_key_blocks",
        "timeless",
    }
    assert command.help == "A command."
    command.main(["t.jsonl", "--pue", "1.5", "--limit", "3", "--json"], standalone_mode=False)
    assert given["trace"] == "t.jsonl"
    assert given["told"] == Told(None, {"plan": None, "pue": 1.5})
    assert given["rows"] == TraceOptions(limit=3)
    assert given["json"]
    assert given["told"].load().money.site.pue.value == 1.5


def test_all_settings_that_have_a_flag_are_options_by_default() -> None:
    flags = {name for name, one in SETTINGS.items() if one.flag is not None}
    assert setting_options().options.keys() == {"config", *flags}
