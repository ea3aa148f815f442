"""`supernode explain ID DIR`: one request's life, with the reason of each decision."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.settings.options import Json
from deploy.terminal.output import say

app = typer.Typer(add_completion=False)

Request = Annotated[str, typer.Argument(metavar="ID", help="Request id, as in requests.csv.")]
Folder = Annotated[str, typer.Argument(metavar="DIR", help="Folder that replay --out wrote.")]


@app.command()
def explain(request: Request, folder: Folder, json: Json = False) -> None:
    """Tell one request's life: when it was where, and why."""
    from deploy.report.life import life_of, render_life
    from deploy.run_folder.read import blamed_on, open_run

    run = open_run(folder)
    with blamed_on([run]):
        life = life_of(run, request)
        if json:
            from json import dumps

            text = dumps(life.to_json(), indent=2) + "\n"
        else:
            text = render_life(life)
    say(text)
