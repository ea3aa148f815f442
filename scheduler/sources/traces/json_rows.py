"""JSONL traces: a format names its keys, and every rule of its rows stands here once."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from typing import Any, Final, NoReturn, Self, cast

import numpy as np
import numpy.typing as npt
from msgspec import field
from msgspec.structs import replace

from scheduler.protocol.catalog import shorten
from scheduler.sources.traces.identity import MAX_GIVEN_ID, flat_ids
from scheduler.sources.traces.lines import LineBatch
from scheduler.sources.traces.row_format import RowFormat
from scheduler.sources.traces.rows import (
    MAX_TOKENS,
    NO_PREFIX,
    BadRow,
    Row,
    RowColumns,
    RowReader,
    are_class_names,
    class_name_of,
    ids_fit,
    integer,
    named_classes,
    refuse_ids,
    tenant_of,
    turn_of,
)
from scheduler.sources.traces.sessions.given import NO_TIME, GivenLinks
from scheduler.sources.traces.sessions.row_links import (
    DELAY_FIELDS,
    LINK_FIELDS,
    links_of_call,
    links_of_child,
    links_of_turn,
    says_something,
)
from scheduler.sources.traces.tenants import TenantNumbers
from scheduler.sources.traces.time_units import MAX_TIME_NS
from scheduler.sources.traces.unread import CLOSED_FIX, REFUSED, FieldTally

_TURN_TYPES: Final = frozenset((str, int, type(None)))
"""Of what a turn may be known by."""


class DecimalText(str):
    """A number with decimals as it stands in a file: a float would round it, and it is no text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class JsonFormat(RowFormat, frozen=True, kw_only=True):
    """Keys of the object on each line.

    `turn`: what a row is known by to those that go on from it, which name it in `turn_before`; the same field where all
    turns of a session have its name. `has_token_ids`: the field of ids lists the prompt's tokens, of which blocks are
    made. `needs_decimals`: its times have decimals, by which alone it is told from formats of the same keys.
    `needs_any`: fields of which a file that is found to be of this format has one. `is_agentic`: rows name what they
    wait for, whatever their session.
    """

    class_name: str = "class"
    tenant: str = "tenant"
    turn: str = "session_id"
    turn_before: str = "session_id"
    refused: dict[str, str] = field(default_factory=lambda: dict(REFUSED))
    has_token_ids: bool = False
    needs_decimals: bool = False
    needs_any: tuple[str, ...] = ()
    is_agentic: bool = False

    def open(self, path: str, first: LineBatch, fields: FieldTally) -> tuple[RowReader, LineBatch]:
        """What reads the rows, and the rows of the first batch: all of it."""
        return _JsonRows(self, fields), first

    @property
    def link_fields(self) -> tuple[str, ...]:
        """Those that are read where clients wait."""
        return LINK_FIELDS if self.is_agentic else (*DELAY_FIELDS, "prefix_reset")

    def linked(self) -> Self:
        """See `RowFormat`."""
        fields = self.link_fields
        refused = {name: why for name, why in self.refused.items() if name not in fields}
        return replace(self, has_links=True, refused=refused, harmless=(*self.harmless, *fields))

    def links_of(self, row: dict[str, Any]) -> GivenLinks:
        """What a row says of those that it waits for; `BadRow` if it cannot be meant."""
        if self.is_agentic:
            return links_of_call(row, self.turn)
        if self.turn != self.turn_before:
            return links_of_child(row, self.turn, self.turn_before)
        return links_of_turn(row, self.turn)


def decoder() -> json.JSONDecoder:
    """Reads JSON as it is in the standard, decimals exact."""
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=DecimalText)


class _JsonRows:
    """Rows of one file, as `RowReader` has them."""

    def __init__(self, form: JsonFormat, fields: FieldTally) -> None:
        self.time_field: Final = form.time
        self.ids_field: Final = form.block_ids
        self.fields: Final = fields
        self._form: Final = form
        self._max_time: Final = MAX_TIME_NS // (form.unit.ns_per_unit or 1)
        self._decode = decoder().raw_decode
        self._tenants: Final = TenantNumbers(reads_text=False)

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """See `RowReader`."""
        form = self._form
        block_ids, class_name, tenant, turn = form.block_ids, form.class_name, form.tenant, form.turn
        try:
            decoded = list(map(self._decode, lines))
            if [end for _, end in decoded] != list(map(len, lines)):
                return None
            rows: list[dict[str, Any]] = [row for row, _ in decoded]
            shapes = Counter(map(tuple, rows))
            if not self.fields.is_plain(shapes):
                return None
            names = set(chain.from_iterable(shapes))
            given = list(map(form.links_of, rows)) if form.has_links else []
            times_ns = self._times_or_none(rows) if form.may_lack_time else self._times(_column(rows, form.time))
            prompt_tokens = _column(rows, form.prompt_tokens)
            output_tokens = self._outputs(rows)
            prefixes = [row.get(block_ids, NO_PREFIX) for row in rows]
            classes = [row.get(class_name, "") for row in rows] if class_name in names else []
            tenants = self._tenants.number_all([row.get(tenant) for row in rows]) if tenant in names else []
            turns = [row.get(turn) for row in rows] if turn in names else []
            befores = [row.get(form.turn_before) for row in rows] if turns else []
        except (BadRow, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        good = (
            times_ns is not None
            and tenants is not None
            and _all_integers(prompt_tokens, 1, MAX_TOKENS)
            and _all_integers(output_tokens, 1, MAX_TOKENS)
            and are_class_names(classes)
            and set(map(type, chain(turns, befores))) <= _TURN_TYPES
        )
        fitting = self._fitting(prefixes, prompt_tokens) if good else None
        if fitting is None or times_ns is None or tenants is None:
            return None
        return RowColumns(
            times_ns,
            prompt_tokens,
            output_tokens,
            fitting[0],
            classes=named_classes(classes),
            tenants=tenants,
            turns=turns,
            befores=befores,
            shapes=shapes,
            flat=fitting[1],
            given=given,
        )

    def _times_or_none(self, rows: list[dict[str, Any]]) -> list[int] | None:
        """The same, with `NO_TIME` for rows that give none."""
        values = [row.get(self._form.time) for row in rows]
        given = [value for value in values if value is not None]
        if len(given) == len(values):
            return self._times(values)
        times_ns = self._times(given) if given else []
        if times_ns is None:
            return None
        following = iter(times_ns)
        return [NO_TIME if value is None else next(following) for value in values]

    def _times(self, values: list[Any]) -> list[int] | None:
        unit, kinds = self._form.unit, set(map(type, values))
        if kinds == {int} and unit.ns_per_unit:
            if min(values) < 0 or max(values) > self._max_time:
                return None
            return [value * unit.ns_per_unit for value in values]
        if unit.is_wall_time:
            return unit.read_all(values) if kinds == {str} else None
        has_decimals = kinds <= {int, DecimalText} and not unit.is_whole
        return unit.read_all(list(map(str, values))) if has_decimals else None

    def _outputs(self, rows: list[dict[str, Any]]) -> list[int]:
        name, default = self._form.output_tokens, self._form.output_length
        return _column(rows, name) if default is None else [row.get(name, default) for row in rows]

    def _fitting(
        self, prefixes: list[list[Any]], prompt_tokens: list[int]
    ) -> tuple[list[list[Any]], npt.NDArray[np.uint64] | None] | None:
        """Ids of good rows and, if they are integers, all as one array; None if any row is not plainly good."""
        if set(map(type, prefixes)) != {list}:
            return None
        tokens_per_id = self._form.tokens_per_id
        if self._form.has_token_ids:
            if not set(map(type, chain.from_iterable(prefixes))) <= {int}:
                return None
            if any(len(ids) not in (0, tokens) for ids, tokens in zip(prefixes, prompt_tokens, strict=True)):
                return None
            return [to_blocks(ids, tokens_per_id) for ids in prefixes], None
        counts = list(map(len, prefixes))
        if not any(counts):
            return prefixes, None
        needed = [-(-tokens // tokens_per_id) for tokens in prompt_tokens]
        if counts != needed and not all(map(ids_fit, counts, prompt_tokens, [tokens_per_id] * len(counts))):
            return None
        flat = flat_ids(prefixes)
        if flat is None and not set(map(type, chain.from_iterable(prefixes))) <= {str}:
            return None
        return prefixes, flat

    def read_row(self, line: str) -> Row:
        """See `RowReader`."""
        form = self._form
        row = self._object(line)
        self._refuse_fields(row)
        time, prompt = row.get(form.time), row[form.prompt_tokens]
        time_ns = NO_TIME if time is None and form.may_lack_time else self._time(time)
        prompt_tokens = integer(form.prompt_tokens, prompt, 1, MAX_TOKENS, prompt)
        output = row.get(form.output_tokens)
        if output is None:
            output = form.output_length
        output_tokens = integer(form.output_tokens, output, 1, MAX_TOKENS, output)
        class_name, prefix, tenant = row.get(form.class_name), NO_PREFIX, row.get(form.tenant)
        if row.get(form.block_ids) is not None:
            prefix = self._prefix(form.block_ids, row[form.block_ids], prompt_tokens)
        if class_name is not None:
            class_name = class_name_of(form.class_name, class_name)
        number = tenant_of(form.tenant, tenant, self._tenants)
        turn = turn_of(form.turn, row.get(form.turn))
        before = turn_of(form.turn_before, row.get(form.turn_before))
        given = form.links_of(row) if form.has_links else None
        named = (class_name or "", number, turn, before)
        return Row(time_ns, prompt_tokens, output_tokens, prefix, *named, tuple(row), given)

    def _refuse_fields(self, row: dict[str, Any]) -> None:
        """`BadRow` for fields that mean what cannot be replayed, and for those that lack."""
        form = self._form
        for name, problem in form.refused.items():
            value = row.get(name)
            if value is not None and (says_something(value) or name not in LINK_FIELDS):
                raise BadRow(name, problem, self._fix_of(name))
        unread = self.fields.unread_of(tuple(row))
        if unread and self.fields.is_strict:
            raise BadRow(
                unread[0], "is not read", "leave the field out, name what it is by --columns, or leave --strict"
            )
        for name in form.columns:
            if name not in row and not (name == form.time and form.may_lack_time):
                needed = (
                    f"every row needs {form.time} ({form.unit.name}), {form.prompt_tokens} and {form.output_tokens}"
                )
                mend = "--output-length N stands in for it" if name == form.output_tokens else "--columns names others"
                raise BadRow(name, "is missing", f"rows without it cannot be replayed: {needed}; {mend}")

    def _fix_of(self, name: str) -> str:
        """What to do about a field that is refused."""
        form = self._form
        if name in form.link_fields:
            return CLOSED_FIX
        if name in LINK_FIELDS:
            return "say --format agentic_mooncake" + ("" if form.has_links else " --sessions closed")
        return f"give rows with {', '.join(form.columns)}"

    def _time(self, value: object) -> int:
        """Nanoseconds of one time; `BadRow` says the unit, and how to name another."""
        form, unit = self._form, self._form.unit
        is_decimal = type(value) is DecimalText
        if (unit.is_wall_time and type(value) is str) or (is_decimal and not unit.is_whole):
            try:
                return unit.read(str(value))
            except ValueError as error:
                raise BadRow(form.time, f"{shorten(value)} {error}", unit.fix) from None
        if type(value) is not int or unit.is_wall_time:
            what = "is no time" if unit.is_wall_time else "is not an integer"
            other = "wall" if type(value) is str else f"s (or {unit.name})"
            fix = f"give whole {unit.name}, or name the unit: --time-unit {other}" if unit.is_whole else unit.fix
            raise BadRow(form.time, f"{shorten(value)} {what}", fix)
        return integer(form.time, value, 0, self._max_time, value) * unit.ns_per_unit

    def _object(self, line: str) -> dict[str, Any]:
        columns = self._form.columns
        try:
            row: object = json.loads(line, parse_constant=_refuse_constant, parse_float=DecimalText)
        except json.JSONDecodeError as error:
            problem = f"not JSON ({error.msg} at character {error.colno})"
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            # Constants such as NaN, and integers of more digits than Python converts.
            problem = f"not JSON ({str(error).split(';')[0]})"
        else:
            if isinstance(row, dict):
                return cast(dict[str, Any], row)
            problem = f"{shorten(row)} is not an object"
        shown = ", ".join(f'"{name}": {value}' for name, value in zip(columns, (0, 9, 5)))
        raise BadRow("", problem, f"give one object a line, such as {{{shown}}}")

    def _prefix(self, name: str, value: object, prompt_tokens: int) -> list[Any]:
        if not isinstance(value, list):
            fix = "give a list of integers, or leave the field out"
            raise BadRow(name, f"{shorten(value)} is not a list", fix)
        prefix = cast(list[Any], value)
        for index, block_id in enumerate(prefix):
            if type(block_id) is not str or self._form.has_token_ids:
                integer(f"{name}[{index}]", block_id, 0, MAX_GIVEN_ID, block_id)
        if self._form.has_token_ids:
            if len(prefix) not in (0, prompt_tokens):
                problem = f"{len(prefix)} tokens are not the {prompt_tokens} of {self._form.prompt_tokens}"
                raise BadRow(name, problem, "give all tokens of the prompt, or leave the field out")
            return to_blocks(prefix, self._form.tokens_per_id)
        if not ids_fit(len(prefix), prompt_tokens, self._form.tokens_per_id):
            refuse_ids(name, len(prefix), self._form, prompt_tokens)
        return prefix


def to_blocks(token_ids: list[int], tokens_per_block: int) -> list[Any]:
    """The whole blocks of a prompt, each named by its tokens."""
    return list(zip(*[iter(token_ids)] * tokens_per_block))


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _all_integers(values: list[int], low: int, high: int) -> bool:
    """Whether all are true integers (a bool is none) in low..high; at C speed."""
    return set(map(type, values)) == {int} and min(values) >= low and max(values) <= high


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
