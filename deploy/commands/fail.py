"""`supernode fail PART...`: break parts of the fabric of the cluster that is up."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from deploy.faults.live import fail_parts
from deploy.settings.options import Json
from deploy.terminal.output import say

app = typer.Typer(add_completion=False)

Parts = Annotated[list[str], typer.Argument(metavar="PART...", help="Such as l2/3/7, npu/12/nic, leaf/0, ub/2.")]


@app.command()
def fail(parts: Parts, as_json: Json = False) -> None:
    """Break parts of the fabric of the cluster that is up, until 'supernode repair'; tells what is lost with them.

    docs/fabric.md names the parts.
    """
    broken = fail_parts(parts)
    say(json.dumps(broken.document(), indent=2) + "\n" if as_json else broken.text())
