"""`supernode explain ID DIR`: one request's life, with the reason of each decision and the numbers behind it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from deploy.settings.options import Json
from deploy.terminal.output import say
from scheduler.protocol.errors import ConfigError

app = typer.Typer(add_completion=False)

Arguments = Annotated[
    list[str],
    typer.Argument(metavar="[ID] DIR", help="Request id, as in requests.csv, and the folder of replay --out."),
]
Slowest = Annotated[int | None, typer.Option(metavar="N", help="In place of ID: the N with the longest TTFT.")]

MAX_SLOWEST: Final = 1000


@app.command()
def explain(arguments: Arguments, slowest: Slowest = None, json: Json = False) -> None:
    """Tell one request's life, or those of the slowest: when it was where, and why, with the numbers of each choice."""
    from deploy.report.life import life_of, render_life
    from deploy.report.life import slowest as slowest_of
    from deploy.run_folder.read import blamed_on, open_run

    if len(arguments) != (2 if slowest is None else 1):
        raise ConfigError("give a request's ID and the folder DIR, or --slowest N and the folder")
    if slowest is not None and not 1 <= slowest <= MAX_SLOWEST:
        raise ConfigError(f"--slowest is {slowest}; give a number from 1 to {MAX_SLOWEST:,}")
    run = open_run(arguments[-1])
    with blamed_on([run]):
        ids = arguments[:1] if slowest is None else slowest_of(run, slowest)
        lives = [life_of(run, one) for one in ids]
        if json:
            from json import dumps

            documents = [life.to_json() for life in lives]
            text = dumps(documents[0] if slowest is None else documents, indent=2) + "\n"
        else:
            text = "\n".join(render_life(life) for life in lives)
    say(text)
