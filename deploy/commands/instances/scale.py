"""`supernode scale ROLE=N...`: how many instances of each role of the cluster that is up there shall be."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from deploy.settings.options import Json
from deploy.terminal.output import say

app = typer.Typer(add_completion=False)

Counts = Annotated[list[str], typer.Argument(metavar="ROLE=N...", help="Such as prefill=12 decode=2.")]
Wait = Annotated[float, typer.Option("--wait", metavar="S", min=0.0, help="Wall seconds to wait until it is so.")]


@app.command()
def scale(counts: Counts, wait: Wait = 60.0, as_json: Json = False) -> None:
    """Have so many instances of each role, at most as many as the cluster was brought up with.

    Those that are too many finish what they have and leave, those that come back load their model; no request is lost.
    """
    from deploy.cluster.instances import scale as scale_them
    from deploy.cluster.instances import text
    from deploy.settings.scaling import parse_counts

    phases = scale_them(parse_counts(",".join(counts)), wait)
    say(json.dumps({"instances": dict(phases)}, indent=2) + "\n" if as_json else text(phases))
