"""`supernode policies`: the routing policies there are."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from deploy.commands.options import Json
from deploy.output import say
from scheduler.policies.registry import KnownPolicy, known_policies

app = typer.Typer(add_completion=False)


@app.command()
def policies(as_json: Json = False) -> None:
    """The routing policies that --policy takes, each with its formula, source and options."""
    say(json.dumps([_document(known) for known in known_policies()], indent=2) + "\n" if as_json else _page())


def _document(known: KnownPolicy) -> dict[str, object]:
    document = asdict(known)
    del document["make"]
    return document


def _page() -> str:
    blocks: list[str] = []
    for known in known_policies():
        lines = [f"{known.name} ({known.chooses})", f"  {known.formula}", f"  source: {known.source}"]
        if known.options:
            options = ", ".join(f"{name}={_text(default)}" for name, default in known.options.items())
            lines.append(f"  options: {options}")
        blocks.append("\n".join(lines) + "\n")
    blocks.append("Use: --policy NAME, --policy NAME:option=value,... or --policy FILE.py:Class for one of your own.\n")
    return "\n".join(blocks)


def _text(default: object) -> str:
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )
