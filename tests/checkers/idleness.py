"""INV-8 from outside: no engine idles while it has work that its own admission rule would take."""

from __future__ import annotations

from scheduler.protocol.messages import (
    DecodeStepped,
    KvReserved,
    Message,
    PrefillStepped,
    ReleaseKv,
    ReserveKv,
    StartDecode,
    StartPrefill,
)
from tests.checkers.checkers import Journal, usages_of

Span = tuple[int, int]

KV_BLOCK = 128


class PrefillWork:
    """What a prefill instance has been given, as its messages tell."""

    def __init__(self, total_blocks: int) -> None:
        self._total_blocks = total_blocks
        self._queue: list[tuple[int, int]] = []
        self._begun: set[int] = set()
        self._held: dict[int, int] = {}

    def note(self, message: Message) -> None:
        """Take in one message to or from the instance."""
        if isinstance(message, StartPrefill):
            tokens = [sum(pair) for pair in zip(message.prompt_tokens, message.resumed_tokens)]
            self._queue += zip(message.ids, [-(-count // KV_BLOCK) for count in tokens])
        elif isinstance(message, ReleaseKv):
            for request_id in message.ids:
                del self._held[request_id]
        elif isinstance(message, PrefillStepped):
            for request_id in message.finished_ids:
                del self._held[request_id]
            self._begun |= set(message.started_ids)
            self._held |= {i: blocks for i, blocks in self._queue if i in message.started_ids}
            self._queue = [entry for entry in self._queue if entry[0] not in message.last_chunk_ids]
            self._begun -= set(message.last_chunk_ids)

    def could_run(self) -> bool:
        """Is there a chunk to go on with, or does the first in the queue fit?"""
        if not self._queue:
            return False
        request_id, blocks = self._queue[0]
        return request_id in self._begun or blocks <= self._total_blocks - sum(self._held.values())


class DecodeWork:
    """What a decode instance has been given, as its messages tell."""

    def __init__(self) -> None:
        self._to_run: set[int] = set()
        self._holding: set[int] = set()
        self._waiting: set[int] = set()

    def note(self, message: Message) -> None:
        """Take in one message to or from the instance."""
        if isinstance(message, ReserveKv):
            self._waiting |= set(message.ids)
        elif isinstance(message, KvReserved):
            self._waiting -= set(message.ids)
            self._holding |= set(message.ids)
        elif isinstance(message, ReleaseKv):
            self._waiting -= set(message.ids)
            self._holding -= set(message.ids)
        elif isinstance(message, StartDecode):
            self._to_run |= set(message.ids)
        elif isinstance(message, DecodeStepped):
            gone = {*message.finished_ids, *message.preempted_ids}
            self._to_run -= gone
            self._holding -= gone

    def could_run(self) -> bool:
        """Is there a sequence with its KV in place, or someone waiting for room that nobody else has any of?"""
        return bool(self._to_run) or (bool(self._waiting) and not self._holding)


class AggregatedWork(DecodeWork):
    """What an aggregated instance has been given: sequences, and prompts that become sequences."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: set[int] = set()

    def note(self, message: Message) -> None:
        """Take in one message to or from the instance."""
        if isinstance(message, StartPrefill):
            self._queue |= set(message.ids)
        elif isinstance(message, PrefillStepped):
            going_on = set(message.prefilled_ids) - set(message.finished_ids)
            self._queue -= set(message.started_ids)
            self._to_run |= {*message.started_ids, *going_on}
            self._holding |= {*message.started_ids, *going_on}
            self._to_run -= set(message.finished_ids)
            self._holding -= set(message.finished_ids)
        else:
            super().note(message)

    def could_run(self) -> bool:
        """As of decode, or is there a prompt while nobody else has or wants any room?"""
        return super().could_run() or (bool(self._queue) and not (self._holding or self._waiting))


def check_idleness(journal: Journal) -> None:
    """At no instant between two messages does an engine idle that could run."""
    system = journal.system
    works: dict[str, PrefillWork | DecodeWork] = {
        prefill.address: PrefillWork(system.case.prefill_blocks) for prefill in system.prefill
    }
    works |= {decode.address: DecodeWork() for decode in system.decode}
    works |= {engine.address: AggregatedWork() for engine in system.aggregated}
    could: dict[str, list[Span]] = {name: [] for name in works}
    last_ns = 0
    for now_ns, address, message in journal.entries:
        if now_ns > last_ns:
            for name, work in works.items():
                if work.could_run():
                    could[name].append((last_ns, now_ns))
            last_ns = now_ns
        name = address if address in works else getattr(message, "instance", None)
        if name is not None:
            works[name].note(message)
    for name, parts in usages_of(journal).items():
        idle = [(usage.start_ns, usage.end_ns) for usage in parts if not usage.busy_ns]
        # In a run that came to its natural end an account is either all busy or all idle.
        assert all(usage.busy_ns in (0, usage.end_ns - usage.start_ns) for usage in parts)
        for start_ns, end_ns in could[name]:
            assert all(end_ns <= since_ns or until_ns <= start_ns for since_ns, until_ns in idle), (name, start_ns)
        assert not works[name].could_run()
