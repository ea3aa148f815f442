"""`supernode sweep FILE`: many runs of one trace over a space of settings."""

from __future__ import annotations

import json as json_text
from typing import Annotated, Final

import typer

from deploy.commands.existing_cluster import Ship
from deploy.settings.options import FailIf, Json
from deploy.sweep.page import sweep_page
from deploy.sweep.plot import write_sweep_page
from deploy.sweep.sweep import sweep
from deploy.terminal.output import say, tell
from scheduler.metrics.bounds import Bound, parse_bound

app = typer.Typer(add_completion=False)

EXIT_BOUND_BROKEN: Final = 1
COUNTS: Final = ("points", "runs", "failed")
"""What bounds may be set on."""

File = Annotated[str, typer.Argument(metavar="FILE", help="YAML file: trace, settings, and what to vary.")]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Where results are kept; FILE without its ending.")]
Address = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Ray cluster to run on instead of here.")]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Runs at a time here; as many as processors by default.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Make runs again that failed.")]


@app.command()
def command(
    file: File,
    out: Out = None,
    address: Address = None,
    ship: Ship = False,
    jobs: Jobs = None,
    retry_failed: RetryFailed = False,
    bounds: FailIf = None,
    json: Json = False,
) -> int:
    """Replay one trace over a grid or a sample of settings, as Ray tasks; what is done is kept, and not done again."""
    parsed = _bounds(bounds)
    swept = sweep(file, out, address, jobs, ships=ship, retry_failed=retry_failed)
    page = write_sweep_page(swept.folder, swept.points, swept.objectives, swept.on_front, swept.title)
    if json:
        say(json_text.dumps(swept.to_json(), indent=2) + "\n")
    else:
        say(sweep_page(swept.points, swept.objectives, swept.on_front, swept.title))
    tell(f"wrote {page}")
    broken = [bound for bound in parsed if bound.is_broken(swept.counts)]
    for bound in broken:
        tell(f"bound broken: {bound.text}")
    return EXIT_BOUND_BROKEN if broken else 0


def _bounds(texts: list[str] | None) -> list[Bound]:
    bounds = [parse_bound(text) for text in texts or []]
    for bound in bounds:
        bound.value_in(dict.fromkeys(COUNTS, 0))
    return bounds
