"""`supernode report DIR...`: a run folder as one HTML page, or several beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.terminal.output import say

app = typer.Typer(add_completion=False)

PAGE_NAME: Final = "report.html"
COMPARISON_NAME: Final = "comparison.html"

Folders = Annotated[list[str], typer.Argument(metavar="DIR...", help="Folders that replay --out wrote.")]
Output = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The page; else report.html in DIR, of several comparison.html here."),
]


@app.command()
def report(folders: Folders, output: Output = None) -> None:
    """Write a run folder as one HTML page that needs no network; of several folders, a comparison."""
    from deploy.report.comparison import comparison_page
    from deploy.report.page import run_page
    from deploy.run_folder.read import blamed_on, open_run
    from deploy.terminal.paths import check_file

    runs = [open_run(folder) for folder in folders]
    if output is None:
        output = str(Path(folders[0], PAGE_NAME)) if len(runs) == 1 else COMPARISON_NAME
    inputs = [str(path) for run in runs for path in run.files]
    check_file("--output", output, inputs)
    with blamed_on(runs):
        page = run_page(runs[0]) if len(runs) == 1 else comparison_page(runs)
    Path(output).write_text(page, encoding="utf-8", errors="backslashreplace")
    say(f"{output}\n")
