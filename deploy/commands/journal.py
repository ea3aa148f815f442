"""`supernode journal check | replay | repair FILE`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from deploy.settings.load import typed_values
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.terminal.output import say
from scheduler.protocol.component import Component
from scheduler.protocol.errors import JournalError
from scheduler.runtime import journal
from scheduler.runtime.journal import JournalHeader
from scheduler.sources.synthetic.section import Section

app = typer.Typer(help="Check, replay and repair journals.")

File = Annotated[str, typer.Argument(metavar="FILE", help="A journal written by replay --journal.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]

EXIT_DIFFERENT = 1


@app.command()
def check(file: File, as_json: AsJson = False) -> int:
    """Read the whole journal: every checksum, the order of time, the end."""
    header, entries = journal.read_journal(file)
    num_inputs = sum(1 for _ in entries)
    _say({"file": file, "inputs": num_inputs, "seed": header.seed, "sound": True}, as_json=as_json)
    return 0


@app.command()
def replay(file: File, as_json: AsJson = False) -> int:
    """Give a fresh scheduler what the journal holds; exit 1 if its commands differ."""
    result = journal.replay(file, make_core)
    outcome = {
        "file": file,
        "inputs": result.num_messages,
        "same": result.same,
        "first_difference": result.first_difference,
    }
    _say(outcome, as_json=as_json)
    return 0 if result.same else EXIT_DIFFERENT


@app.command()
def repair(
    file: File, out: Annotated[str, typer.Argument(metavar="OUT", help="Where to write it.")], as_json: AsJson = False
) -> int:
    """Keep the sound beginning of a damaged or truncated journal."""
    _say({"file": file, "out": out, "inputs": journal.repair(file, out)}, as_json=as_json)
    return 0


def make_core(header: JournalHeader) -> Component:
    """The scheduler that a journal was written beside."""
    section = Section("", "the journal's header", dict(header.config))
    block_tokens = section.integer("block_tokens", 0)
    if block_tokens < 1:
        raise JournalError("the journal's header names no block_tokens; was it written by supernode replay?")
    del section.values["block_tokens"]
    return Blueprint(Settings.from_plain(typed_values(section)), block_tokens).make_core()


def _say(outcome: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(outcome, indent=2) + "\n")
        return
    say(", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in outcome.items() if value != "") + "\n")
