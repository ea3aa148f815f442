"""`supernode doctor`: what is missing or odd on this machine."""

from __future__ import annotations

import json
import shutil
from typing import Annotated

import typer
from msgspec import to_builtins

from deploy.doctor.examine import examine
from deploy.doctor.findings import count, render
from deploy.terminal.output import say

app = typer.Typer(add_completion=False)

MAX_WIDTH = 120

Json = Annotated[bool, typer.Option("--json", help="The findings as JSON on stdout.")]


@app.command(epilog="Exit: 0 if nothing is bad, else 1.")
def doctor(as_json: Json = False) -> int:
    """Look for what is missing or odd on this machine, and tell how to fix it."""
    findings = examine()
    counts = count(findings)
    if as_json:
        say(json.dumps({"checks": [to_builtins(finding) for finding in findings], "counts": counts}, indent=2) + "\n")
    else:
        say(render(findings, min(shutil.get_terminal_size((100, 24)).columns, MAX_WIDTH)))
    return 1 if counts["bad"] else 0
