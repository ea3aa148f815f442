"""`supernode repair PART...`: repair broken parts of the fabric of the cluster that is up."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from deploy.faults.live import repair_parts
from deploy.settings.options import Json
from deploy.terminal.output import say
from scheduler.protocol.errors import ConfigError

app = typer.Typer(add_completion=False)

Parts = Annotated[list[str] | None, typer.Argument(metavar="[PART...]", help="Parts that are broken.")]
All = Annotated[bool, typer.Option("--all", help="All that are broken, whoever broke them.")]


@app.command()
def repair(parts: Parts = None, all_parts: All = False, as_json: Json = False) -> None:
    """Repair broken parts of the fabric of the cluster that is up; tells what stays broken."""
    if all_parts == bool(parts):
        raise ConfigError("name the parts to repair, or give --all: one of the two")
    broken = repair_parts(None if all_parts else parts)
    say(json.dumps(broken.document(), indent=2) + "\n" if as_json else broken.text())
