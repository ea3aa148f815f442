"""Command-line options that several commands have, with one meaning in all of them.

    @app.command()
    @with_options(told=setting_options(), rows=TRACE_OPTIONS)
    def plan(trace: Trace, told: Told, rows: TraceOptions, json: Json = False) -> int: ...

A command names groups of options; each stands for one parameter of the function, in whose place the command line has
the options of the group, and which is given one value made of them all. Options of settings are those of the models'
fields (`models.py`), with their help.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from msgspec import Struct
from msgspec.structs import replace

from deploy.settings.load import load_settings
from deploy.settings.settings import SETTINGS, Settings
from scheduler.sources.traces.options import ROLES, TIME_UNIT_NAMES, TraceOptions
from scheduler.sources.traces.registry import has_links

Config = Annotated[str | None, typer.Option(metavar="FILE", help="YAML file of settings; flags win over it.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Grace = Annotated[
    str, typer.Option("--grace", metavar="TIME", help="For how long clients may have the rest of their answers.")
]
FailIf = Annotated[list[str] | None, typer.Option("--fail-if", metavar="BOUND", help="Exit 1 if 'PATH<VALUE' holds.")]

Limit = Annotated[int | None, typer.Option(metavar="N", help="Read only the first N rows.")]
Superpose = Annotated[int, typer.Option(metavar="N", help="Lay N shifted copies over each other.")]
RateScale = Annotated[float, typer.Option(metavar="X", help="Multiply the arrival rate.")]
Format = Annotated[str | None, typer.Option(metavar="NAME", help="Trace format, if it cannot be told.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, count and list them.")]
TimeUnit = Annotated[str | None, typer.Option(metavar="UNIT", help=f"Of its times: {', '.join(TIME_UNIT_NAMES)}.")]
TokensPerId = Annotated[int | None, typer.Option(metavar="N", help="Prompt tokens that a block id stands for.")]
BlockIds = Annotated[str | None, typer.Option(metavar="WHAT", help="Ids name a block and all before (chain) or text.")]
Columns = Annotated[str | None, typer.Option(metavar="ROLE=NAME,..", help=f"Its columns: {', '.join(ROLES)}.")]
OutputLength = Annotated[int | None, typer.Option(metavar="N", help="Output tokens of rows that give none.")]
Turns = Annotated[str | None, typer.Option(metavar="HOW", help="Rows of closed sessions: whole requests, or delta.")]
Sort = Annotated[bool, typer.Option("--sort", help="Sort rows by time; reads all of them first.")]
Spread = Annotated[str | None, typer.Option(metavar="HOW", help="Spread rows of one stamp: even or random[:GRID].")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Only rows from there on, such as 10h.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only rows before, from the first on.")]
AssumeShared = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Of prompts without ids, such as 0.5:groups=20.")
]
Part = Annotated[str | None, typer.Option(metavar="I/N", help="Only what supernode I of N is sent: 0/10 to 9/10.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse fields of rows that are not read.")]


class OptionGroup(Struct, frozen=True):
    """Annotation and default of each option by name, and what makes one value of what was given."""

    options: Mapping[str, tuple[Any, Any]]
    make: Callable[[dict[str, Any]], Any]


class Told(Struct, frozen=True):
    """Settings as a command line gives them: a file, and flags by flat name (None: not given)."""

    path: str | None
    flags: Mapping[str, Any]

    def load(self, base: Mapping[str, Any] | None = None) -> Settings:
        """Parsed, over `base`. `ConfigError` with the place of what is wrong."""
        return load_settings(self.path, self.flags, base)


def setting_options(names: Collection[str] = ()) -> OptionGroup:
    """`--config`, and a flag for each of these settings; for all that have one by default. Makes a `Told`."""
    options: dict[str, tuple[Any, Any]] = {"config": (Config, None)}
    for name in names or [name for name, one in SETTINGS.items() if one.flag is not None]:
        one = SETTINGS[name]
        assert one.flag is not None, f"{name} has no flag"
        is_text = get_origin(one.type) is Literal or str in get_args(one.type)
        kind = str if is_text else one.type
        option = typer.Option(metavar=one.flag[0], help=one.flag[1])
        options[name] = (Annotated[kind | None, option], None)
    return OptionGroup(options, lambda given: Told(given.pop("config"), given))


TRACE_OPTIONS: Final = OptionGroup(
    {
        "limit": (Limit, None),
        "superpose": (Superpose, 1),
        "rate_scale": (RateScale, 1.0),
        "format": (Format, None),
        "time_unit": (TimeUnit, None),
        "tokens_per_id": (TokensPerId, None),
        "block_ids": (BlockIds, None),
        "columns": (Columns, None),
        "output_length": (OutputLength, None),
        "turns": (Turns, None),
        "sort": (Sort, False),
        "from_time": (From, None),
        "until_time": (Until, None),
        "spread": (Spread, None),
        "assume_shared": (AssumeShared, None),
        "part": (Part, None),
        "skip_bad": (SkipBad, False),
        "strict": (Strict, False),
    },
    lambda given: TraceOptions(**given),
)
"""Which rows of a trace are read, and how; makes a `TraceOptions` that `for_run` completes."""


def for_run(rows: TraceOptions, settings: Settings, trace: str) -> TraceOptions:
    """The options with what a run of this trace adds: its seed, its cache's blocks as those of requests that are
    generated, and whether turns wait for the turns before them. InputError if the trace cannot be read at all."""
    cache, clients = settings.cache, settings.clients
    rows = replace(
        rows,
        seed=settings.run.seed,
        block_tokens=cache.block_tokens or None,
        finds_answers=cache.answers,
        timeless=bool(clients.concurrency),
        part_key_blocks=settings.routing.supernode_key_blocks,
    )
    waits = clients.sessions == "closed" or (clients.sessions == "auto" and has_links(trace, rows))
    return replace(rows, links=waits)


def with_options(**groups: OptionGroup) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Have the options of a group in place of the parameter of its name."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        parameters: list[Parameter] = []
        for parameter in signature(command, eval_str=True).parameters.values():
            if parameter.name not in groups:
                parameters.append(parameter)
                continue
            for name, (annotation, default) in groups[parameter.name].options.items():
                parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation))

        @wraps(command)
        def run(**given: Any) -> int:
            for name, group in groups.items():
                given[name] = group.make({option: given.pop(option) for option in group.options})
            return command(**given)

        keyword_only = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
        run.__signature__ = signature(command).replace(parameters=keyword_only)  # pyright: ignore[reportAttributeAccessIssue]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate
