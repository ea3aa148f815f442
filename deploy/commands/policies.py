"""`supernode policies`: all policies and rules there are, from who chooses instances to how many there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import typer

from deploy.settings.options import Json
from deploy.terminal.output import say
from scheduler.policies.admission import ADMISSIONS
from scheduler.policies.disaggregation import DISAGGREGATIONS
from scheduler.policies.ordering import ORDERS
from scheduler.policies.registry import CACHING, ROUTING, SCALING, KnownPolicy

_RULES: Final = {
    "admission": ADMISSIONS,
    "order": ORDERS,
    "cache policy": CACHING,
    "disaggregation": DISAGGREGATIONS,
    "autoscaler": SCALING,
}

app = typer.Typer(add_completion=False)


@app.command()
def policies(as_json: Json = False) -> None:
    """What --policy, --admission, --order, --cache-policy, --disaggregation and --autoscaler take, with sources."""
    say(json.dumps(_listing(), indent=2) + "\n" if as_json else _page())


def _listing() -> list[dict[str, Any]]:
    """Routing policies first; `kind` tells them from rules of who comes in, who goes first, what is kept and so on."""
    listed = [{**_told(known), "kind": "routing"} for known in ROUTING.values()]
    return listed + [{"kind": kind, **_told(known)} for kind, rules in _RULES.items() for known in rules.values()]


def _told(known: KnownPolicy) -> dict[str, Any]:
    told = (known.name, known.chooses, known.formula, known.source, known.options)
    return dict(zip(("name", "chooses", "formula", "source", "options"), told, strict=True))


def _page() -> str:
    blocks: list[str] = []
    for kind in ("routing", *_RULES):
        blocks.append(f"{kind.upper()}\n")
        blocks += [_block(known) for known in _listing() if known["kind"] == kind]
    blocks.append(
        "Use: --policy NAME, --policy NAME:option=value,... or --policy FILE.py:Class for one of your own; "
        "--admission, --order, --cache-policy, --disaggregation and --autoscaler likewise.\n"
    )
    return "\n".join(blocks)


def _block(known: Mapping[str, Any]) -> str:
    lines = [f"{known['name']} ({known['chooses']})", f"  {known['formula']}", f"  source: {known['source']}"]
    if known["options"]:
        options = ", ".join(f"{name}={_text(default)}" for name, default in known["options"].items())
        lines.append(f"  options: {options}")
    return "\n".join(lines) + "\n"


def _text(default: object) -> str:
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )
