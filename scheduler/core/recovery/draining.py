"""Instances that take nothing new: when nothing depends on one any more, it may go."""

from __future__ import annotations

from scheduler.core.fleet import Stage
from scheduler.core.recovery.losses import set_back_by
from scheduler.core.state import SchedulerState


class Draining:
    """Takes instances out of the choice, and knows when nobody would be set back if one were gone."""

    def __init__(self, state: SchedulerState) -> None:
        self._state = state

    def begin(self, address: str) -> None:
        """It takes nothing new until it was lost and is back, or until `stop`."""
        for stage in self._stages(address):
            stage.drain(stage.index[address])

    def stop(self, address: str) -> None:
        """It takes work again."""
        for stage in self._stages(address):
            stage.undrain(stage.index[address])

    def is_done(self, address: str) -> bool:
        """Whether it has nothing to do, and no request would have to be requeued without it: KV may still lie there."""
        state = self._state
        if any(stage.outstanding_requests[stage.index[address]] for stage in self._stages(address)):
            return False
        prefill, decode = (
            {stage.index[address]} if address in stage.index else set[int]() for stage in (state.prefill, state.decode)
        )
        return not set_back_by(state.table, state.open.payloads, prefill, decode, ())

    def _stages(self, address: str) -> list[Stage]:
        return [stage for stage in (self._state.prefill, self._state.decode) if address in stage.index]
