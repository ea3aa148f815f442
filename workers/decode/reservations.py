"""Messages about KV room at a decode instance: reservations, and what is given back before a sequence starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import (
    AvoidDies,
    CancelReservations,
    KvReserved,
    ReleaseKv,
    ReservationsCancelled,
    ReserveKv,
)
from workers.decode.memory import DecodeMemory


class KvReservations:
    """Handles for the instance at `address` what concerns room in its memory; `handlers` by type of message."""

    def __init__(self, address: str, memory: DecodeMemory, reports_to: str) -> None:
        self._address = address
        self._memory = memory
        self._reports_to = reports_to
        self.handlers: Final[dict[type, Callable[[int, Any], Outputs]]] = {
            ReserveKv: self._on_reserve,
            CancelReservations: self._on_cancel,
            ReleaseKv: self._on_release,
            AvoidDies: self._on_avoid,
        }

    def serve_waiting(self) -> Outputs:
        """Grant what fits now that room was made or somebody asks."""
        granted, dies = self._memory.serve()
        return [(self._reports_to, KvReserved(self._address, granted, dies))] if granted else NOTHING

    def _on_reserve(self, now_ns: int, message: ReserveKv) -> Outputs:
        self._memory.ask(message.ids, message.kv_tokens)
        return self.serve_waiting()

    def _on_release(self, now_ns: int, message: ReleaseKv) -> Outputs:
        for request_id in message.ids:
            self._memory.cancel(request_id)
        return self.serve_waiting()

    def _on_cancel(self, now_ns: int, message: CancelReservations) -> Outputs:
        for request_id in message.ids:
            self._memory.cancel(request_id)
        cancelled = ReservationsCancelled(self._address, message.ids)
        return [(self._reports_to, cancelled), *self.serve_waiting()]

    def _on_avoid(self, now_ns: int, message: AvoidDies) -> Outputs:
        self._memory.avoid(message.dies)
        return self.serve_waiting()
