"""ServeGen data as a generator: per client, arrival windows (CSV) and lengths (JSON, see `servegen_lengths`).

`chunk-N-trace.csv` has no header: window start (s), rate (req/s), cv of gaps, pattern (Gamma, Weibull or empty), shape,
scale. What is not asked for is not read: neither clients that send nothing in the wanted time, nor lengths of other
times. Source: github.com/alibaba/ServeGen, arXiv 2505.09999.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scheduler.protocol.errors import ConfigError, InputError, TraceError
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import BLOCK_ROWS, ArrivalBlock
from scheduler.sources.synthetic.servegen_lengths import ClientLengths, read_text
from scheduler.sources.synthetic.workload import ServeGenRequests
from scheduler.sources.traces.lines import shown, unreadable
from scheduler.sources.traces.rows import NO_PREFIX, shorten

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NS_PER_S: Final = 1e9
MAX_WINDOW_REQUESTS: Final = 10**7
"""Bound on one client's requests in one window, all of which are in memory at once."""

_TRACE_FILE: Final = re.compile(r"chunk-(\d+)-trace\.csv")
_COLUMNS: Final = ("window start", "rate", "cv", "pattern", "shape", "scale")


class _Window(Struct, frozen=True):
    start_s: float
    rate_per_s: float
    pattern: str
    shape: float


class _Client(Struct, frozen=True):
    """`dataset`: the path of its lengths."""

    number: int
    windows: list[_Window]
    dataset: str


class ServeGenPool:
    """The clients of a folder, cut to the wanted time."""

    def __init__(self, requests: ServeGenRequests) -> None:
        self._clients, self._window_s = _read_folder(requests.folder)
        ends_s = [client.windows[-1].start_s + self._window_s for client in self._clients if client.windows]
        self._start_s = requests.start_s
        self._end_s = max(ends_s, default=0.0)
        if requests.duration_s is not None:
            self._end_s = min(self._end_s, requests.start_s + requests.duration_s)
        published = math.fsum(
            window.rate_per_s * self._overlap_s(window) for client in self._clients for window in client.windows
        )
        self._rate_factor = 1.0
        if requests.rate_per_s is not None and published > 0:
            self._rate_factor = requests.rate_per_s * (self._end_s - self._start_s) / published
        self.num_expected: Final = round(published * self._rate_factor)

    def blocks(self, seed: int) -> Iterator[ArrivalBlock]:
        """All requests in time order, counted from the first; memory holds one window of all clients."""
        samplers = [
            _ClientSampler(client, asked, self._window_s, seed)
            for client in self._clients
            if (asked := [one for one in client.windows if one.rate_per_s > 0 and self._overlap_s(one) > 0])
        ]
        if not samplers:
            return
        starts_s = sorted({window.start_s for client in self._clients for window in client.windows})
        origin_ns: int | None = None
        for start_s in starts_s:
            if start_s + self._window_s <= self._start_s or start_s >= self._end_s:
                continue
            drawn = [sampler.draw(start_s, self._rate_factor) for sampler in samplers]
            times_s, prompt_tokens, output_tokens = (np.concatenate(columns) for columns in zip(*drawn, strict=True))
            times_ns = np.rint(times_s * NS_PER_S).astype(np.int64)
            kept = np.flatnonzero((times_s >= self._start_s) & (times_s < self._end_s))
            order = kept[np.argsort(times_ns[kept], kind="stable")]
            if origin_ns is None and len(order):
                origin_ns = int(times_ns[order[0]])
            shift_ns = origin_ns or 0
            for start in range(0, len(order), BLOCK_ROWS):
                rows = order[start : start + BLOCK_ROWS]
                arrived_ns: list[int] = (times_ns[rows] - shift_ns).tolist()
                prefixes = [NO_PREFIX] * len(rows)
                outputs: list[int] = output_tokens[rows].tolist()
                yield ArrivalBlock(arrived_ns, prompt_tokens[rows].tolist(), outputs, prefixes, [0] * len(rows))

    def _overlap_s(self, window: _Window) -> float:
        end_s = min(self._end_s, window.start_s + self._window_s)
        return max(0.0, end_s - max(self._start_s, window.start_s))


class _ClientSampler:
    """Draws one client's windows; each client has streams of its own, so that others change nothing in it."""

    def __init__(self, client: _Client, asked: list[_Window], window_s: float, seed: int) -> None:
        self._client = client
        self._window_s = window_s
        self._arrivals = stream(seed, f"servegen/{client.number}/arrivals")
        self._lengths = stream(seed, f"servegen/{client.number}/lengths")
        self._media = stream(seed, f"servegen/{client.number}/media")
        self._windows = {window.start_s: window for window in asked}
        lengths = ClientLengths(client.dataset)
        # All that will be asked for, so that what is wrong with it is told before anything runs.
        self._lengths_at = {window.start_s: lengths.at(window.start_s) for window in asked}

    def draw(self, start_s: float, rate_factor: float) -> tuple[Floats, Integers, Integers]:
        """Times (s), prompt and output tokens of one window, in time order."""
        window = self._windows.get(start_s)
        if window is None:
            return np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)
        wanted = window.rate_per_s * rate_factor * self._window_s
        if wanted > MAX_WINDOW_REQUESTS:
            raise ConfigError(
                f"client {self._client.number} would send {wanted:.3g} requests in a window; lower the rate"
            )
        count = int(wanted + self._arrivals.random())
        # One gap more than requests: they fill the window exactly, and no two clients meet at its end.
        if window.pattern == "Gamma":
            gaps = self._arrivals.standard_gamma(window.shape, count + 1)
        else:
            gaps = self._arrivals.weibull(window.shape, count + 1)
        passed = np.cumsum(gaps)
        times_s = start_s + passed[:-1] * (self._window_s / passed[-1])
        lengths = self._lengths_at[start_s]
        return times_s, lengths.prompts(self._lengths, self._media, count), lengths.outputs(self._lengths, count)


def _read_folder(folder: str) -> tuple[list[_Client], float]:
    """All clients in order of their numbers, and the length of a window."""
    try:
        names = [entry.name for entry in Path(folder).iterdir()]
        matches = [match for match in map(_TRACE_FILE.fullmatch, names) if match]
    except OSError as error:
        raise unreadable(folder, error) from None
    if not matches:
        raise InputError(
            f"{shown(folder)}: no chunk-N-trace.csv in it; give a trace file or a folder of ServeGen clients"
        )
    window_s = math.nan
    clients: list[_Client] = []
    for match in sorted(matches, key=lambda found: int(found[1])):
        path = str(Path(folder) / match[0])
        windows = _read_windows(path)
        if len(windows) > 1:
            step_s = windows[1].start_s - windows[0].start_s
            if not math.isnan(window_s) and step_s != window_s:
                problem = f"windows of {step_s:g} s, elsewhere of {window_s:g} s"
                raise TraceError(path, 2, _COLUMNS[0], problem, "give clients of one pool")
            window_s = step_s
        clients.append(_Client(int(match[1]), windows, str(Path(folder) / f"chunk-{match[1]}-dataset.json")))
    return clients, 600.0 if math.isnan(window_s) else window_s


def _read_windows(path: str) -> list[_Window]:
    windows: list[_Window] = []
    step_s = 0.0
    for number, cells in enumerate(csv.reader(read_text(path).splitlines()), start=1):
        if not cells:
            continue
        if len(cells) != len(_COLUMNS):
            problem = f"the row has {len(cells)} cells"
            raise TraceError(path, number, "", problem, f"give {len(_COLUMNS)}: {', '.join(_COLUMNS)}")
        start_s, rate_per_s = (_read_float(path, number, place, cells) for place in (0, 1))
        if len(windows) == 1:
            step_s = start_s - windows[0].start_s
        if windows and (step_s <= 0 or start_s - windows[-1].start_s != step_s):
            raise TraceError(path, number, _COLUMNS[0], f"{cells[0]} is not one step on", "give windows of one length")
        shape = _read_float(path, number, 4, cells)
        if rate_per_s > 0 and cells[3] not in ("Gamma", "Weibull"):
            raise TraceError(path, number, _COLUMNS[3], f"{shorten(cells[3])} is not known", "give Gamma or Weibull")
        if rate_per_s > 0 and shape <= 0:
            raise TraceError(path, number, _COLUMNS[4], f"{cells[4]} is not above 0", "give a positive shape")
        windows.append(_Window(start_s, rate_per_s, cells[3], shape))
    return windows


def _read_float(path: str, number: int, place: int, cells: list[str]) -> float:
    try:
        value = float(cells[place])
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        problem = f"{shorten(cells[place])} is no number of at least 0"
        raise TraceError(path, number, _COLUMNS[place], problem, "give a plain decimal number")
    return value
