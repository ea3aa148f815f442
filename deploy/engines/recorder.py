"""Writes the requests of an engine as a trace, which `supernode replay` plays on the virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from msgspec.structs import replace

from deploy.http.spec import BLOCK_TOKENS
from scheduler.core.guest import Guest
from scheduler.core.lifecycle import State
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.errors import ClusterError, InputError
from scheduler.protocol.messages import Message, RequestsArrived
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.encoders import Encoder
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.time_units import MILLISECONDS

FORMAT: Final = "mooncake"


class Recorder(Guest):
    """A row for each request that produced a token, in the order of arrival, written when all before it have ended.

    Its output is what was produced: of one whose client left, as much as there was then. Times are milliseconds to the
    nanosecond. An `InputError` if the file cannot be written.
    """

    hears = (RequestsArrived,)

    def __init__(self, table: RequestTable, path: str) -> None:
        form = FORMATS[FORMAT]
        assert isinstance(form, JsonFormat)
        # Which requests a pass takes is settled within a millisecond, below which the format does not go by itself.
        form = replace(form, unit=MILLISECONDS)
        self.num_written = 0
        self._table = table
        self._path = path
        self._encoder = Encoder(form, BLOCK_TOKENS, path)
        # Prefix, tenant and class of those that are not written, by id.
        self._waiting: dict[int, tuple[list[int], int, str]] = {}
        try:
            self._file: TextIO = open(path, "w", encoding="ascii", newline="\n")  # noqa: SIM115 - open while it runs
        except OSError as error:
            raise InputError(f"--record {path}: {error.strerror or error}; give a path that can be written") from error

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Requests arrived."""
        if isinstance(message, RequestsArrived):
            end = self._table.num_requests
            ids = range(end - len(message.prompt_tokens), end)
            classes = message.classes or [""] * len(ids)
            rows = zip(message.prefixes, message.tenants, classes, strict=True)
            self._waiting.update(zip(ids, rows, strict=True))
        return NOTHING

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Write those that nobody before them keeps waiting."""
        state = self._table.state
        while self._waiting and state[first := next(iter(self._waiting))] == State.ENDED:
            self._write(first, *self._waiting.pop(first))
        return NOTHING

    def _write(self, request_id: int, prefix: list[int], tenant: int, class_name: str) -> None:
        table = self._table
        if not table.output_tokens[request_id]:
            return
        row = ArrivalBlock(
            [table.arrived_ns[request_id]],
            [table.prompt_tokens[request_id]],
            [table.output_tokens[request_id]],
            [prefix],
            [tenant],
            [class_name] if class_name else [],
        )
        try:
            self._file.writelines(f"{line}\n" for line in self._encoder.lines(row))
            self._file.flush()
        except OSError as error:
            raise ClusterError(f"{self._path}: {error.strerror or error}; the requests cannot be recorded") from error
        self.num_written += 1

    def close(self) -> None:
        """All requests have ended."""
        self._file.close()
