"""Lengths of one ServeGen client: `chunk-N-dataset.json`, of which a window is parsed when it is first asked for.

The file maps a window start (s) to fields; the text of each is a Python dict literal, token counts to probabilities. A
language window has `input_tokens` and `output_tokens`; a multimodal one has `text_tokens` in place of the first, and
for images, audio and video how many of them a request brings (`image_count`) and how many tokens each is
(`image_tokens`). `reason_ratio` of reasoning pools, the share of output tokens that are reasoning, is not read: these
are among `output_tokens`, and are decoded like all others. Source: github.com/alibaba/ServeGen, `servegen/construct.py`
and `servegen/clientpool.py`.
"""

from __future__ import annotations

import ast
import json
import math
from bisect import bisect_right
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scheduler.protocol.errors import InputError, TraceError
from scheduler.sources.synthetic.lengths import draw_weighted
from scheduler.sources.traces.lines import refuse_pointer, shown, unreadable
from scheduler.sources.traces.rows import MAX_TOKENS, shorten

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MEDIA: Final = ("image", "audio", "video")
MAX_PARTS: Final = 10_000
"""Bound on images, and on parts of the other kinds, of one request."""

_FIX: Final = 'give {"0": {"input_tokens": "{9: 1.0}", "output_tokens": "{5: 1.0}"}}'
_HISTOGRAM_FIX: Final = 'give the text of a dict of token counts and probabilities, such as "{9: 1.0}"'


class Histogram(Struct, frozen=True):
    """`values` and their probabilities added up, shape (num_values,) each, ascending; the last sum need not be 1."""

    values: Integers
    cumulated: Floats

    def draw(self, generator: np.random.Generator, count: int) -> Integers:
        """Values, shape (count,)."""
        return draw_weighted(self.values, self.cumulated, generator, count)


class Parts(Struct, frozen=True):
    """How many images, or parts of another kind, a request brings, and how many tokens each of them is."""

    count: Histogram
    tokens: Histogram


class WindowLengths(Struct, frozen=True):
    """What requests of a window draw their lengths from, each on its own."""

    text_tokens: Histogram
    output_tokens: Histogram
    parts: tuple[Parts, ...] = ()

    def prompts(self, texts: np.random.Generator, media: np.random.Generator, count: int) -> Integers:
        """Text and the tokens of all parts, shape (count,): at least 1, since a request computes something."""
        tokens = np.maximum(self.text_tokens.draw(texts, count), 1)
        for part in self.parts:
            num_parts = part.count.draw(media, count)
            of_request = np.repeat(np.arange(count), num_parts)
            each = part.tokens.draw(media, len(of_request))
            tokens += np.bincount(of_request, each, count).astype(np.int64)
        return np.minimum(tokens, MAX_TOKENS)

    def outputs(self, generator: np.random.Generator, count: int) -> Integers:
        """Output tokens, shape (count,), at least 1."""
        return np.maximum(self.output_tokens.draw(generator, count), 1)


class ClientLengths:
    """The windows of a dataset file by their start. InputError, with window and field, for what cannot be read."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            data: object = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{shown(path)}: not JSON ({error}); {_FIX}") from None
        if not isinstance(data, dict):
            raise InputError(f"{shown(path)}: not a JSON object; {_FIX}")
        self._fields: dict[int, dict[str, Any]] = {}
        for key, fields in cast(dict[str, Any], data).items():
            if not (key.isascii() and key.isdecimal()) or not isinstance(fields, dict):
                raise TraceError(path, 0, shorten(key), "is not a window start with an object of fields", _FIX)
            self._fields[int(key)] = cast(dict[str, Any], fields)
        self._starts_s = sorted(self._fields)
        self._parsed: dict[int, WindowLengths | None] = {}

    def at(self, time_s: float) -> WindowLengths:
        """Those of the window that this time falls in, or else of the nearest before it that has any, or after it."""
        place = bisect_right(self._starts_s, time_s)
        for start_s in (*reversed(self._starts_s[:place]), *self._starts_s[place:]):
            if start_s not in self._parsed:
                self._parsed[start_s] = self._parse(start_s)
            lengths = self._parsed[start_s]
            if lengths is not None:
                return lengths
        raise InputError(f"{shown(self._path)}: no window has lengths; {_FIX}")

    def _parse(self, start_s: int) -> WindowLengths | None:
        """None if it has no prompts or no outputs."""
        fields = self._fields[start_s]
        is_multimodal = "text_tokens" in fields and "input_tokens" not in fields
        texts = self._histogram(start_s, "text_tokens" if is_multimodal else "input_tokens")
        outputs = self._histogram(start_s, "output_tokens")
        if texts is None or outputs is None:
            return None
        return WindowLengths(texts, outputs, self._parts(start_s) if is_multimodal else ())

    def _parts(self, start_s: int) -> tuple[Parts, ...]:
        found: list[Parts] = []
        for kind in MEDIA:
            if not self._fields[start_s].keys() & {f"{kind}_count", f"{kind}_tokens"}:
                continue
            count = self._histogram(start_s, f"{kind}_count", MAX_PARTS)
            tokens = self._histogram(start_s, f"{kind}_tokens")
            if count is None or not count.values.any():
                continue
            if tokens is None:
                problem = f"is empty, but {kind}_count says up to {count.values.max()} in a request"
                raise TraceError(self._path, 0, f"{start_s}.{kind}_tokens", problem, _HISTOGRAM_FIX)
            found.append(Parts(count, tokens))
        return tuple(found)

    def _histogram(self, start_s: int, field: str, most: int = MAX_TOKENS) -> Histogram | None:
        place, fields = f"{start_s}.{field}", self._fields[start_s]
        if field not in fields:
            problem, fix = "is missing", "give a language, reasoning or multimodal pool of ServeGen"
            raise TraceError(self._path, 0, place, problem, fix)
        return parse_histogram(fields[field], self._path, place, most)


def read_text(path: str) -> str:
    """A file of UTF-8 text; InputError if it is none."""
    try:
        data = Path(path).read_bytes()
        refuse_pointer(path, data)
        return data.decode()
    except UnicodeDecodeError:
        raise InputError(f"{shown(path)}: not UTF-8 text; fetch the file again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def parse_histogram(text: object, path: str, place: str, most: int = MAX_TOKENS) -> Histogram | None:
    """The histogram in a text such as "{9: 0.25, 12: 0.75}"; None if it has no weight. Parsed as data, never run.

    TraceError for keys that are no integers from 0 to `most`, and for values that are no probabilities.
    """
    counts, weights = _plain_pairs(text) or _any_pairs(text, path, place, most)
    if not counts:
        return None
    values, column = np.array(counts, np.int64), np.array(weights, np.float64)
    if values.max() > most:
        raise TraceError(path, 0, place, f"{values.max()} is not a count from 0 to {most}", _HISTOGRAM_FIX)
    if not math.fsum(weights):
        return None
    if (np.diff(values) < 0).any():
        order = np.argsort(values, kind="stable")
        values, column = values[order], column[order]
    return Histogram(values, np.cumsum(column))


def _plain_pairs(text: object) -> tuple[list[int], list[float]] | None:
    """Counts and weights of a literal as Python prints it, some 15 times as fast as Python's own parser; None for all
    that this is not sure of: other spacing, keys that are no plain integers, weights below 0."""
    if not isinstance(text, str) or not text.isascii() or '"' in text or len(text) < 3:
        return None
    try:
        # Quotes around its keys make it JSON, whose parser is strict about the rest.
        data: object = json.loads(text.replace("{", '{"').replace(": ", '": ').replace(", ", ', "'))
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    pairs = cast(dict[str, Any], data)
    weights = list(pairs.values())
    if not all(map(str.isdecimal, pairs)) or not set(map(type, weights)) <= {int, float}:
        return None
    if min(weights) < 0 or not math.isfinite(sum(weights)):
        return None
    return list(map(int, pairs)), weights


def _any_pairs(text: object, path: str, place: str, most: int) -> tuple[list[int], list[float]]:
    """Counts and weights of any literal of a dict, or what is wrong with it."""
    try:
        value: object = ast.literal_eval(cast(str, text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise TraceError(path, 0, place, f"{shorten(text)} is not a dict", _HISTOGRAM_FIX) from None
    if not isinstance(value, dict):
        raise TraceError(path, 0, place, f"{shorten(value)} is not a dict", _HISTOGRAM_FIX)
    pairs = cast(dict[Any, Any], value)
    for tokens, weight in pairs.items():
        if type(tokens) is not int or not 0 <= tokens <= most:
            problem = f"{shorten(tokens)} is not a count from 0 to {most}"
            raise TraceError(path, 0, place, problem, _HISTOGRAM_FIX)
        if type(weight) not in (int, float) or not 0 <= weight < math.inf:
            raise TraceError(path, 0, place, f"{shorten(weight)} is no probability", _HISTOGRAM_FIX)
    return list(pairs), list(pairs.values())
