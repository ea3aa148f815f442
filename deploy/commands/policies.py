"""`supernode policies`: the routing policies, admission rules and orders there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import typer

from deploy.settings.options import Json
from deploy.terminal.output import say
from scheduler.policies.flow_control import ADMISSIONS, ORDERS
from scheduler.policies.registry import KnownPolicy, known_policies

_TITLES: Final = {"routing": "ROUTING", "admission": "ADMISSION", "order": "ORDER"}
_RULES: Final = {"admission": ADMISSIONS, "order": ORDERS}
_WHEN: Final = {"admission": "who comes in", "order": "who goes first to prefill"}

app = typer.Typer(add_completion=False)


@app.command()
def policies(as_json: Json = False) -> None:
    """What --policy, --admission and --order take, each with its formula, source and options."""
    say(json.dumps(_listing(), indent=2) + "\n" if as_json else _page())


def _listing() -> list[dict[str, object]]:
    """Routing policies first; `kind` tells them from rules of who comes in and who goes first."""
    listed = [{**_document(known), "kind": "routing"} for known in known_policies()]
    for kind, rules in _RULES.items():
        for name, rule in rules.items():
            what = {"kind": kind, "name": name, "chooses": _WHEN[kind], "formula": rule.rule, "source": rule.source}
            listed.append({**what, "options": dict(rule.options)})
    return listed


def _document(known: KnownPolicy) -> dict[str, object]:
    document = asdict(known)
    del document["make"]
    return document


def _page() -> str:
    blocks: list[str] = []
    for kind, title in _TITLES.items():
        blocks.append(f"{title}\n")
        blocks += [_block(known) for known in _listing() if known["kind"] == kind]
    blocks.append(
        "Use: --policy NAME, --policy NAME:option=value,... or --policy FILE.py:Class for one of your own; "
        "--admission and --order likewise, without FILE.py.\n"
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
