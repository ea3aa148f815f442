"""`supernode journal check | replay | repair FILE`, the first and last also for a file of accepted requests."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from deploy.http.accepted.reading import is_accepted_file, read_accepted, repair_accepted
from deploy.run.journal_replay import Beside, CoreOfJournal
from deploy.terminal.output import say
from scheduler.runtime import journal

app = typer.Typer(help="Check, replay and repair journals.")

File = Annotated[str, typer.Argument(metavar="FILE", help="A journal written by replay --journal.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="SPEC", help="Code of a recorded FILE.py:Class, or a policy to ask beside."),
]
Changed = Annotated[bool, typer.Option("--changed", help="Take a FILE.py that is not as it was recorded.")]

EXIT_DIFFERENT = 1


@app.command()
def check(file: File, as_json: AsJson = False) -> int:
    """Read the whole journal: every checksum, the order of time, the end.

    Also the file of requests that a cluster with --http has accepted.
    """
    if is_accepted_file(file):
        contents = read_accepted(file)
        num_open = sum(known.ended is None for known in contents.known.values())
        kept = len(contents.known) - num_open
        _say(
            {"file": file, "records": contents.num_records, "open": num_open, "kept": kept, "sound": True},
            as_json=as_json,
        )
        return 0
    header, entries = journal.read_journal(file)
    num_inputs = sum(1 for _ in entries)
    _say({"file": file, "inputs": num_inputs, "seed": header.seed, "sound": True}, as_json=as_json)
    return 0


@app.command()
def replay(file: File, policy: Policies = None, changed: Changed = False, as_json: AsJson = False) -> int:
    """Give a fresh scheduler what the journal holds; exit 1 if its commands differ.

    A journal carries no code: --policy FILE.py:Class gives that of a policy of one's own again. Any other policy is
    asked beside the recorded one, on the same reports, and the decisions that differ are counted.
    """
    make_core = CoreOfJournal(policy or [], may_differ=changed)
    result = journal.replay(file, make_core)
    outcome = {
        "file": file,
        "inputs": result.num_messages,
        "same": result.same,
        "first_difference": result.first_difference,
    }
    beside = make_core.beside
    if as_json:
        said = {} if beside is None else {"beside": beside.to_json()}
        say(json.dumps({**outcome, **said}, indent=2) + "\n")
    else:
        _say(outcome, as_json=False)
        say("" if beside is None else _beside_page(beside))
    return 0 if result.same else EXIT_DIFFERENT


def _beside_page(beside: Beside) -> str:
    """How many decisions differ, and the first of them."""
    lines: list[str] = []
    for stage, count in beside.counts.items():
        failures = beside.asked[stage].failures
        failed = f"; it failed {failures.count:,} times, first: {failures.first_error}" if failures.count else ""
        lines.append(
            f"{beside.policy} would have decided otherwise on {count.differ:,} of {count.asked:,} "
            f"{stage.value} decisions{failed}"
        )
    if beside.first:
        lines.append("the first:")
    lines += [
        f"  request {one.request_id}, arrived at {one.arrived_s:.3f} s, {one.stage}: {one.chosen} ({one.reason}); "
        f"{beside.policy} says {one.other}"
        for one in beside.first
    ]
    return "\n".join(lines) + "\n"


@app.command()
def repair(
    file: File, out: Annotated[str, typer.Argument(metavar="OUT", help="Where to write it.")], as_json: AsJson = False
) -> int:
    """Keep the sound beginning of a damaged or truncated journal, or file of accepted requests."""
    if is_accepted_file(file):
        _say({"file": file, "out": out, "records": repair_accepted(file, out)}, as_json=as_json)
        return 0
    _say({"file": file, "out": out, "inputs": journal.repair(file, out)}, as_json=as_json)
    return 0


def _say(outcome: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(outcome, indent=2) + "\n")
        return
    say(", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in outcome.items() if value != "") + "\n")
