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
    from deploy.run_folder.read import open_run

    life = life_of(open_run(folder), request)
    if json:
        from json import dumps

        say(dumps(life.to_json(), indent=2) + "\n")
    else:
        say(render_life(life))
