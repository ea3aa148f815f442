"""`supernode down`: end the cluster that is up, and all that it started."""

from __future__ import annotations

import json
from typing import Final

import typer

from deploy.cluster.up_down import DEFAULT_GRACE, read_grace_s, take_down
from deploy.settings.options import Grace, Json
from deploy.terminal.output import say
from deploy.terminal.progress import waiting

app = typer.Typer(add_completion=False)

USUAL_S: Final = 3.0


@app.command()
def down(grace: Grace = DEFAULT_GRACE, as_json: Json = False) -> None:
    """End the cluster that is up, and all that it started; never another one. Clears away one that crashed, too.

    A Ray cluster that was there before ('supernode up --address') goes on without it.

    Clients of --http that wait for an answer have the rest of it first, for as long as --grace says; Ctrl-C ends that.
    """
    limit_s = read_grace_s(grace)
    with waiting("ending the cluster", USUAL_S):
        num_killed = take_down(limit_s)
    if as_json:
        say(json.dumps({"was_there": num_killed is not None, "killed": num_killed or 0}) + "\n")
    elif num_killed is None:
        say("no cluster is up\n")
    else:
        say("the cluster is down" + (f"; {num_killed} processes had to be killed" if num_killed else "") + "\n")
