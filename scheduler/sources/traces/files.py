"""Which format a file has, and its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, cast

from msgspec.structs import replace

from scheduler.protocol.errors import ConfigError, TraceError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.csv_rows import CsvFormat, delimiter_of, header_names
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.identity import Identity
from scheduler.sources.traces.json_rows import DecimalText, JsonFormat, decoder
from scheduler.sources.traces.lines import LineBatch, check_line, read_batches, shown
from scheduler.sources.traces.options import Reading, SkippedRows, TraceOptions
from scheduler.sources.traces.row_format import IdMeaning
from scheduler.sources.traces.rows import USUAL_SIZES, Memory, ids_fit, read_blocks
from scheduler.sources.traces.sessions.histories import Histories
from scheduler.sources.traces.sessions.linker import Linker
from scheduler.sources.traces.sessions.row_links import WAIT_FIELDS, says_something
from scheduler.sources.traces.shaping.timing import from_first, in_time_order
from scheduler.sources.traces.time_units import SECONDS, TimeUnit
from scheduler.sources.traces.turns import Turns
from scheduler.sources.traces.unread import FieldTally
from scheduler.sources.traces.wall_time import WALL_TIME, stamp_to_ns

FileFormat = CsvFormat | JsonFormat
Sample = Sequence[dict[str, Any]]
"""The first rows of a file of JSON, as far as they can be read."""

JSON_ENDINGS: Final = (".jsonl", ".json", ".ndjson")

NUM_SAMPLED: Final = 64
"""Rows by which a format is known: few, as they are read twice."""


def open_file(path: str, options: TraceOptions, skipped: SkippedRows) -> Iterator[ArrivalBlock]:
    """The rows of a trace file up to `options.limit`, from the first on; TraceError if it is empty or unknown."""
    return open_rows(path, options, skipped)[2]


def open_rows(path: str, options: TraceOptions, skipped: SkippedRows) -> tuple[Reading, int, Iterator[ArrivalBlock]]:
    """How a file is read, prompt tokens of an id, and its rows as `open_file` has them."""
    batches = (batch for batch in read_batches(path) if batch.lines)
    first = next(batches, None)
    if first is None:
        raise TraceError(shown(path), 0, "", "the file is empty", "give a trace with at least one request")
    sample = _sample(first.lines)
    name, form = _detect(path, first, sample, options) if options.format is None else _named(options, first, sample)
    tokens, how = _tokens_per_id(form, sample, options)
    form = replace(form, tokens_per_id=tokens)
    reading = Reading(name, options.format is not None, grid_ns=form.unit.grid_ns)
    fields = FieldTally(form.known, form.refused, skipped, is_strict=options.strict)
    reader, rows = form.open(shown(path), first, fields)
    memory = _memory(path, form, sample, options, reading)
    blocks = read_blocks(shown(path), chain((rows,), batches), reader, memory, options, skipped)
    if options.sort or options.links:
        blocks = in_time_order(blocks)
    blocks = _noting(blocks, reading, form, how, memory, options)
    return reading, tokens, from_first(blocks)


def rows_wait(path: str) -> bool:
    """Whether the first rows of a file say that they wait for others' ends; False if they cannot be read, and for what
    can be read only once, such as a pipe."""
    if Path(path).exists() and not Path(path).is_file():
        return False
    batch = next((batch for batch in read_batches(path) if batch.lines), None)
    rows = () if batch is None else _sample(batch.lines)
    return any(says_something(row.get(name)) for row in rows for name in WAIT_FIELDS)


def _memory(path: str, form: FileFormat, sample: Sample, options: TraceOptions, reading: Reading) -> Memory:
    """What is remembered of rows, with notes of what is assumed of sessions."""
    tokens, has_ids = form.tokens_per_id, bool(_sizes(sample, form))
    turns, meaning = Turns(tokens) if options.finds_answers else None, _meaning(form, options)
    _refuse_turns(form, options)
    if not options.links:
        if any("session_id" in row for row in sample):
            reading.assumed.append(("sessions", "each row whole, at its own time"))
        return Memory(Identity(tokens, meaning, numbers_anew=turns is not None), turns)
    linker = Linker(shown(path), form.time, needs_times=not options.timeless)
    if isinstance(form, JsonFormat) and form.is_agentic:
        reading.assumed.append(("sessions", "calls wait for those they name"))
        return Memory(Identity(tokens, meaning, numbers_anew=turns is not None), turns, linker)
    is_delta, how = _adds(form, sample, options)
    what = "adds to those before" if is_delta else "whole"
    reading.assumed.append(("sessions", f"closed loops, each row {what} ({how})"))
    if has_ids and not is_delta:
        return Memory(Identity(tokens, meaning, numbers_anew=turns is not None), turns, linker)
    if is_delta and has_ids and options.block_ids is None:
        meaning = IdMeaning.TEXT
    histories = Histories(tokens, is_delta=is_delta, finds_answers=options.finds_answers)
    return Memory(Identity(tokens, meaning, numbers_anew=True), None, linker, histories)


def _refuse_turns(form: FileFormat, options: TraceOptions) -> None:
    """`ConfigError` for an option that would do nothing."""
    if options.turns is None:
        return
    if not options.links:
        raise ConfigError("turns is of sessions that are closed loops; say --sessions closed as well, or leave it out")
    if isinstance(form, JsonFormat) and form.is_agentic and options.turns == "delta":
        raise ConfigError("turns is delta, and each row of an agentic trace is a whole request; leave it out")


def _adds(form: FileFormat, sample: Sample, options: TraceOptions) -> tuple[bool, str]:
    """Whether rows of a session add to those before, and how that is known: as its format has it, unless ids of later
    turns of a file that might be of another format begin with those of the turns before."""
    if options.turns is not None:
        return options.turns == "delta", "named"
    if form.adds_to_session and options.format is None and _ids_go_on(form, sample):
        return False, "found: ids go on"
    return form.adds_to_session, "usual"


def _ids_go_on(form: FileFormat, sample: Sample) -> bool:
    """Whether a prompt in the first rows begins with all whole blocks of the one before of its session."""
    last: dict[object, tuple[list[Any], int]] = {}
    for row in sample:
        session, ids, prompt = row.get("session_id"), row.get(form.block_ids), row.get(form.prompt_tokens)
        if type(session) not in (str, int) or not isinstance(ids, list) or type(prompt) is not int:
            continue
        before = last.get(session)
        if before is not None and before[1] and cast(list[Any], ids)[: before[1]] == before[0][: before[1]]:
            return True
        last[session] = cast(list[Any], ids), prompt // form.tokens_per_id
    return False


def _noting(
    blocks: Iterator[ArrivalBlock],
    reading: Reading,
    form: FileFormat,
    how: str,
    memory: Memory,
    options: TraceOptions,
) -> Iterator[ArrivalBlock]:
    """The same, with notes of what was assumed once the first are there."""
    first = next(blocks)
    if form.unit.is_wall_time:
        reading.zero_ns = first.arrived_ns[0]
    how_unit = " (named)" if options.time_unit else " (assumed)" if reading.format == "columns" else ""
    reading.assumed.append(("time unit", form.unit.name + how_unit))
    identity = memory.identity
    if memory.histories is not None and not identity.has_seen:
        reading.assumed.append(("ids are", f"made here, of histories, for {form.tokens_per_id} tokens each ({how})"))
    elif any(first.prefixes):
        found = "" if _meaning(form, options) else " (found)"
        numbered = ", numbered anew" if identity.is_renumbered else ""
        reading.assumed.append(("tokens per id", f"{form.tokens_per_id} ({how})"))
        reading.assumed.append(("ids are", f"{identity.meaning}{numbered}{found}"))
    else:
        reading.assumed.append(("ids are", "none"))
    if form.output_length is not None:
        reading.assumed.append(("output where none is given", f"{form.output_length:,} tokens"))
    if form.logs_failures:
        reading.assumed.append(("rows of 0 output tokens", "failures, left out"))
    yield first
    yield from blocks


def _sample(lines: Sequence[str]) -> Sample:
    """Of rows that can be read."""
    rows: list[dict[str, Any]] = []
    decode = decoder().decode
    for line in lines[:NUM_SAMPLED]:
        if line.lstrip()[:1] == "{":
            with suppress(ValueError, RecursionError):
                row: object = decode(line)
                if isinstance(row, dict):
                    rows.append(cast(dict[str, Any], row))
    return rows


def _named(options: TraceOptions, first: LineBatch, sample: Sample) -> tuple[str, FileFormat]:
    """The format that was asked for, with names as this file has them."""
    assert options.format is not None
    form = FORMATS.find(options.format)
    assert isinstance(form, CsvFormat | JsonFormat)
    present = _keys(sample) if isinstance(form, JsonFormat) else header_names(first.lines[0])
    return options.format, form.told(options).named_as_in(present)


def _detect(path: str, first: LineBatch, sample: Sample, options: TraceOptions) -> tuple[str, FileFormat]:
    """The format by the first rows, or by the path's ending if they are spoilt."""
    line = first.lines[0]
    if line.lstrip().startswith("{"):
        return _json_format(sample, options)
    forms = {name: form.told(options) for name, form in FORMATS.items() if isinstance(form, CsvFormat)}
    names = header_names(line)
    if "arrived" in options.column_names:
        return "columns", _by_columns(first, names, options)
    for name, form in forms.items():
        if set(names).issuperset(form.columns):
            return name, form
    for name, form in forms.items():  # a table without times has fewer marks: those with all come first
        if set(names).issuperset(form.needed_columns):
            return name, form
    ending = path.removesuffix(".gz")
    if ending.endswith(JSON_ENDINGS):
        return _json_format(sample, options)
    check_line(shown(path), first.numbers[0], line)
    headers = " or ".join(f"{','.join(form.needed_columns)} ({name})" for name, form in forms.items())
    mend = "or name the columns: --columns arrived=NAME,prompt=NAME,output=NAME"
    if ending.endswith(".csv") or len(names) > 1:
        problem = "the header has not the columns of a known format"
        raise TraceError(shown(path), first.numbers[0], "header", problem, f"give {headers}, {mend}")
    fix = f"give JSONL with one object a line, or CSV with the header {headers}, {mend}"
    raise TraceError(shown(path), first.numbers[0], "", "no known trace format", fix)


def _by_columns(first: LineBatch, names: Sequence[str], options: TraceOptions) -> CsvFormat:
    """A table whose columns were named."""
    columns = options.column_names
    if "prompt" not in columns or ("output" not in columns and options.output_length is None):
        fix = "name prompt and output as well, or say --output-length N; or name the format: --format"
        raise ConfigError(f"columns: arrived is named, and not all that a row needs; {fix}")
    plain = CsvFormat(time="", unit=SECONDS, prompt_tokens="", output_tokens="")
    form = plain.told(options)
    if options.time_unit is not None or form.time not in names or len(first.lines) < 2:
        return form
    cells = first.lines[1].split(delimiter_of(first.lines[0]))
    place = names.index(form.time)
    return replace(form, unit=_unit_of(cells[place] if place < len(cells) else ""))


def _unit_of(time: object) -> TimeUnit:
    """Of times in a field that was named: those of a clock if the first looks so, else seconds."""
    if isinstance(time, str):
        with suppress(ValueError):
            stamp_to_ns(time.strip(' "'))
            return WALL_TIME
    return SECONDS


def _json_format(sample: Sample, options: TraceOptions) -> tuple[str, JsonFormat]:
    """The format with the most of its fields in the first rows; of those, the one with the most that only it has."""
    present = _keys(sample)
    best: tuple[tuple[int, int, bool], str, JsonFormat] | None = None
    for name, form in FORMATS.items():
        if not isinstance(form, JsonFormat) or not _may_be(form, sample, present):
            continue
        form = form.told(options).named_as_in(present)
        num_marks = len(present.intersection(form.marks)) + form.needs_decimals
        rank = (len(present.intersection(form.columns)), num_marks, not form.marks)
        if best is None or rank > best[0]:
            best = rank, name, form
    assert best is not None
    _, name, form = best
    if "arrived" not in options.column_names:
        return name, form
    times = [row[form.time] for row in sample if form.time in row]
    unit = form.unit if options.time_unit is not None else _unit_of(times[0] if times else None)
    return "columns", replace(form, unit=unit)


def _may_be(form: JsonFormat, sample: Sample, present: set[str]) -> bool:
    """Whether a file of these rows may be found to be of a format."""
    if form.needs_decimals and not _has_decimals(sample, form):
        return False
    return not form.needs_any or not present.isdisjoint(form.needs_any)


def _keys(sample: Sample) -> set[str]:
    return set(chain.from_iterable(sample))


def _has_decimals(sample: Sample, form: JsonFormat) -> bool:
    """Whether times have decimals, and ids fit the format's tokens."""
    sizes = _sizes(sample, form)
    is_decimal = any(type(row.get(form.time)) is DecimalText for row in sample)
    return is_decimal and bool(sizes) and all(ids_fit(*size, form.tokens_per_id) for size in sizes)


def _sizes(sample: Sample, form: FileFormat) -> list[tuple[int, int]]:
    """Ids and prompt tokens of rows that have both."""
    sizes: list[tuple[int, int]] = []
    for row in sample:
        ids, prompt = row.get(form.block_ids), row.get(form.prompt_tokens)
        if isinstance(ids, list) and ids and type(prompt) is int:
            sizes.append((len(cast(list[Any], ids)), prompt))
    return sizes


def _tokens_per_id(form: FileFormat, sample: Sample, options: TraceOptions) -> tuple[int, str]:
    """Prompt tokens of an id, and how they are known: the usual ones of the format unless others fit the rows."""
    if options.tokens_per_id is not None:
        return form.tokens_per_id, "named"
    sizes = _sizes(sample, form)
    if not sizes and options.links and options.block_tokens is not None:
        return options.block_tokens, "of the run"
    if not sizes or (isinstance(form, JsonFormat) and form.has_token_ids):
        return form.tokens_per_id, "usual"
    # A few rows that do not fit are bad ones.
    if 2 * sum(ids_fit(*size, form.tokens_per_id) for size in sizes) > len(sizes):
        return form.tokens_per_id, "usual, and fits"
    for tokens in USUAL_SIZES:
        covers = all(num_ids == -(-prompt // tokens) for num_ids, prompt in sizes)
        if covers or all(num_ids == prompt // tokens for num_ids, prompt in sizes):
            return tokens, f"found: {form.tokens_per_id} do not fit"
    return form.tokens_per_id, "usual"


def _meaning(form: FileFormat, options: TraceOptions) -> IdMeaning | None:
    """What ids mean, if that is known. A format that was found is a guess, and its ids are looked at."""
    if options.block_ids is not None:
        return IdMeaning(options.block_ids)
    is_sure = options.format is not None or form.meaning is IdMeaning.TEXT
    return form.meaning if is_sure else None
