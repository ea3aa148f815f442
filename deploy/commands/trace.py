"""`supernode trace`: describe, generate and convert traces."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from deploy.pages.trace_page import PAGE_NAME, write_page
from deploy.settings.options import TRACE_OPTIONS, OptionGroup, RateScale, Superpose, with_options
from deploy.settings.shipped_examples import find_input
from deploy.terminal.output import say, tell
from deploy.terminal.paths import check_file, check_folder
from deploy.terminal.table import table
from scheduler.protocol.errors import ConfigError
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.synthetic.presets import PRESETS
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.workload import AgentRequests, Process
from scheduler.sources.traces.describe import TraceDescription
from scheduler.sources.traces.describe import describe as describe_trace
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.options import NUM_LISTED, OpenedTrace, Reading, SkippedRows, TraceOptions
from scheduler.sources.traces.registry import has_links, open_trace, open_workload
from scheduler.sources.traces.writers import WrittenTrace, writable, write_trace

app = typer.Typer(help="Describe, generate and convert traces.", no_args_is_help=True)

KNOWN = ", ".join(FORMATS)
WRITTEN = ", ".join(writable())
AGENTIC = "agentic_mooncake"

ROW_OPTIONS = OptionGroup(
    {
        **TRACE_OPTIONS.options,
        "format": (Annotated[str | None, typer.Option(metavar="NAME", help=f"One of {KNOWN}.")], None),
    },
    TRACE_OPTIONS.make,
)

TracePath = Annotated[
    str, typer.Argument(metavar="TRACE", help="Trace file (also .gz), workload .yaml, or folder of ServeGen clients.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", metavar="N")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON on stdout.")]
OutFile = Annotated[str, typer.Option("--out", help="File to write: .jsonl or .csv, also with .gz.", metavar="FILE")]
ToFormat = Annotated[str | None, typer.Option("--to", help=f"Format to write, {WRITTEN}, if the ending tells none.")]


@app.command("describe")
@with_options(rows=ROW_OPTIONS)
def describe(
    trace: TracePath,
    rows: TraceOptions,
    seed: Seed = 0,
    out: Annotated[str | None, typer.Option(help="Folder for a page with plots.", metavar="DIR")] = None,
    as_json: AsJson = False,
) -> int:
    """Say what a trace is like: rate, burstiness, lengths, how much of its prompts repeats, and how it was read."""
    if out is not None:
        check_folder("--out", out, [PAGE_NAME])
    opened = _open(find_input(trace), rows, seed)
    description = describe_trace(opened)
    _tell_skipped(opened.skipped)
    if out is not None:
        _write_page(description, opened.reading, out)
    reading, unread = opened.reading, opened.skipped.unread
    answer = {
        "trace": description.to_json(),
        "reading": reading.to_json(),
        "unread": dict(unread),
        "skipped": _skipped_json(opened.skipped),
    }
    not_read = [(f"not read: {name}", f"{num_rows:,} rows") for name, num_rows in unread.most_common(NUM_LISTED)]
    _answer(answer, [*description.rows(), *reading.rows(), *not_read], description.name, as_json)
    return 0


@app.command("generate")
def generate(
    out: OutFile,
    workload: Annotated[str | None, typer.Option(help="Workload file to start from.", metavar="FILE.yaml")] = None,
    preset: Annotated[str | None, typer.Option(help=f"Lengths with a name: {', '.join(PRESETS)}.")] = None,
    num_requests: Annotated[int | None, typer.Option(help="Requests to generate.", metavar="N")] = None,
    rate_per_s: Annotated[float | None, typer.Option(help="Mean rate of requests (sessions, if any).")] = None,
    process: Annotated[str | None, typer.Option(help=f"One of {', '.join(Process)}.")] = None,
    cv: Annotated[float | None, typer.Option(help="Coefficient of variation of gaps.")] = None,
    diurnal_amplitude: Annotated[float | None, typer.Option(help="Swing of the rate, 0 to 1 of its mean.")] = None,
    diurnal_period_s: Annotated[float | None, typer.Option(help="Period of the swing.")] = None,
    prompt_mean: Annotated[
        float | None, typer.Option(help="Mean prompt (new tokens of a turn) before clipping.")
    ] = None,
    prompt_cv: Annotated[float | None, typer.Option(help="Coefficient of variation of prompts.")] = None,
    output_mean: Annotated[float | None, typer.Option(help="Mean output tokens before clipping.")] = None,
    output_cv: Annotated[float | None, typer.Option(help="Coefficient of variation of outputs.")] = None,
    lengths_from: Annotated[str | None, typer.Option(help="Draw lengths from this trace's.", metavar="TRACE")] = None,
    mean_turns: Annotated[float | None, typer.Option(help="Sessions of so many turns on average.")] = None,
    think_mean_s: Annotated[float | None, typer.Option(help="Mean think time between turns.")] = None,
    system_tokens: Annotated[int | None, typer.Option(help="Length of a system prompt.")] = None,
    system_groups: Annotated[int | None, typer.Option(help="Number of different system prompts.")] = None,
    block_tokens: Annotated[
        int | None, typer.Option(help="Tokens that an id of a prompt stands for (512).", metavar="N")
    ] = None,
    servegen: Annotated[str | None, typer.Option(help="Folder of ServeGen clients.", metavar="DIR")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of a workload file.", metavar="KEY=VALUE")
    ] = None,
    superpose: Superpose = 1,
    rate_scale: RateScale = 1.0,
    seed: Seed = 0,
    to_format: ToFormat = None,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic trace from a workload file, from options, or from a file with options over it."""
    overrides: dict[str, tuple[object, str]] = {
        **_lengths_override(lengths_from),
        "preset": (preset, "--preset"),
        "num_requests": (num_requests, "--num-requests"),
        "servegen.folder" if servegen else "": (servegen and str(Path(servegen).absolute()), "--servegen"),
        "servegen.rate_per_s" if servegen else "arrivals.rate_per_s": (rate_per_s, "--rate-per-s"),
        "arrivals.process": (process, "--process"),
        "arrivals.cv": (cv, "--cv"),
        "arrivals.diurnal_amplitude": (diurnal_amplitude, "--diurnal-amplitude"),
        "arrivals.diurnal_period_s": (diurnal_period_s, "--diurnal-period-s"),
        "prompt_tokens.mean": (prompt_mean, "--prompt-mean"),
        "prompt_tokens.cv": (prompt_cv, "--prompt-cv"),
        "output_tokens.mean": (output_mean, "--output-mean"),
        "output_tokens.cv": (output_cv, "--output-cv"),
        "sessions.mean_turns": (mean_turns, "--mean-turns"),
        "sessions.think_mean_s": (think_mean_s, "--think-mean-s"),
        "sessions.system_tokens": (system_tokens, "--system-tokens"),
        "sessions.system_groups": (system_groups, "--system-groups"),
        "block_tokens": (block_tokens, "--block-tokens"),
        **_settings_override(settings or []),
    }
    given = {key: said for key, said in overrides.items() if said[0] is not None}
    loaded = load_workload(None if workload is None else find_input(workload), given)
    waits = isinstance(loaded.requests, AgentRequests) or to_format == AGENTIC
    options = TraceOptions(superpose=superpose, rate_scale=rate_scale, seed=seed, links=waits)
    _write(open_workload(loaded, options), out, to_format, seed, as_json)
    if loaded.clients:
        counts = [f"{one.class_name}={one.count}" if one.class_name else str(one.count) for one in loaded.clients]
        tell(f"a file of requests does not hold who waits: replay it with --concurrency {','.join(counts)}")


@app.command("convert")
@with_options(rows=ROW_OPTIONS)
def convert(
    trace: Annotated[str, typer.Argument(metavar="IN", help="Trace to read.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="File to write: .jsonl or .csv, also with .gz.")],
    rows: TraceOptions,
    to_format: ToFormat = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> int:
    """Write a trace in another format."""
    path = find_input(trace)
    check_file("OUT", out, [path])
    opened = _open(path, rows, seed)
    written = _write(opened, out, to_format, seed, as_json)
    if written.lost:
        tell(f"{written.format} does not hold: {', '.join(written.lost)}")
    return 0


def _open(path: str, rows: TraceOptions, seed: int) -> OpenedTrace:
    """The trace as a run would have it by default: with what its requests wait for, if it says that they wait, or if
    the user says what turns are."""
    waits = has_links(path, rows) or rows.turns is not None
    return open_trace(path, options=replace(rows, seed=seed, links=waits))


def _lengths_override(trace: str | None) -> dict[str, tuple[object, str]]:
    """Whole sections, so that lengths of another kind in the workload file give way."""
    if trace is None:
        return {}
    flag = "--lengths-from"
    names = ("prompt_tokens", "output_tokens")
    path = str(Path(find_input(trace)).absolute())
    return {name: (Section(name, flag, {"trace": path}, {"trace": flag}), flag) for name in names}


def _settings_override(settings: list[str]) -> dict[str, tuple[object, str]]:
    yaml: Any = import_module("yaml")
    overrides: dict[str, tuple[object, str]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not (key and equals and text):
            raise ConfigError(f"--set {setting!r} is no setting; give KEY=VALUE such as sessions.mean_turns=5")
        try:
            overrides[key] = (yaml.safe_load(text), f"--set {key}")
        except (yaml.YAMLError, ValueError):
            raise ConfigError(f"--set {key}: {text!r} is no value; give a number, a text or a [list]") from None
    return overrides


def _write(trace: OpenedTrace, out: str, to_format: str | None, seed: int, as_json: bool) -> WrittenTrace:
    written = write_trace(trace, out, to_format)
    _tell_skipped(trace.skipped)
    tokens = written.tokens_per_id
    if tokens not in (None, BLOCK_TOKENS):
        tell(f"ids of prompts stand for {tokens} tokens: read it with --tokens-per-id {tokens}")
    answer = {
        "out": written.path,
        "format": written.format,
        "requests": written.requests,
        "span_s": written.span_s,
        **({} if tokens is None else {"tokens_per_id": tokens}),
        "seed": seed,
        "lost": list(written.lost),
        "skipped": _skipped_json(trace.skipped),
    }
    rows = [("file", out), ("format", written.format), ("requests", f"{written.requests:,}")]
    _answer(answer, [*rows, ("span", f"{written.span_s:,.3f} s")], trace.name, as_json)
    return written


def _answer(answer: dict[str, Any], rows: list[tuple[str, str]], title: str, as_json: bool) -> None:
    """The result on stdout: JSON for programs, a table for people."""
    if as_json:
        say(json.dumps(answer, indent=2) + "\n")
        return
    say(f"{title}\n\n{table(rows, right=(1,))}\n")


def _skipped_json(skipped: SkippedRows) -> dict[str, int]:
    outside = {"before": skipped.num_outside} if skipped.num_outside else {}
    return {"bad": skipped.num_bad, "failed": skipped.num_failed, **outside}


def _tell_skipped(skipped: SkippedRows) -> None:
    for line in skipped.lines():
        tell(line)


def _write_page(description: TraceDescription, reading: Reading, folder: str) -> None:
    tell(f"wrote {write_page(description, reading.rows(), folder)}")
