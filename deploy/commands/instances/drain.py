"""`supernode drain INSTANCE...`: have instances of the cluster that is up finish what they have and leave."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from deploy.settings.options import Json
from deploy.terminal.output import say

app = typer.Typer(add_completion=False)

Instances = Annotated[list[str], typer.Argument(metavar="INSTANCE...", help="Such as prefill-3 or decode-0.")]
Wait = Annotated[float, typer.Option("--wait", metavar="S", min=0.0, help="Wall seconds to wait until they left.")]


@app.command()
def drain(instances: Instances, wait: Wait = 60.0, as_json: Json = False) -> None:
    """Have instances take nothing new and leave when nothing depends on them; no request is lost.

    They stay away, in replays to come as well, until 'supernode scale' has them back.
    """
    from deploy.cluster.instances import drain as drain_them
    from deploy.cluster.instances import text

    phases = drain_them(instances, wait)
    say(json.dumps({"instances": dict(phases)}, indent=2) + "\n" if as_json else text(phases))
