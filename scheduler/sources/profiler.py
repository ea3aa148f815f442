"""Measures instances with made-up requests before a run, by the messages that requests of clients travel in.

The profiler stands in the place of the core, in a run of its own that ends when all is measured. It knows of an
instance what a core is told, and takes what it reports: no model of the hardware, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from scheduler.core.request_table import RequestTable
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import (
    ArrivalsEnded,
    DecodeStepped,
    InstanceProfiled,
    KvReserved,
    Message,
    PrefillStepped,
    ReserveKv,
    StartDecode,
    StartPrefill,
)
from scheduler.protocol.sealed_payload import seal_output_tokens

PROMPTS: Final = (
    *((tokens, 0) for tokens in (128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16_384, 32_768, 65_536)),
    *((tokens, tokens // 2) for tokens in (2048, 8192, 32_768)),
)
"""(Tokens, of which cached) of the prompts, one after another; what is longer than the instance can hold is cut."""

BATCHES: Final = ((1, 4096), (32, 1024), (32, 8192), (128, 512), (128, 4096), (512, 512), (512, 2048), (1024, 1024))
"""(Sequences, KV tokens of each) of decode, one after another; what does not fit half of the instance's KV is cut."""

OUTPUT_TOKENS: Final = 8
"""Of each made-up sequence."""

KV_SHARE: Final = 0.5


class ProfiledInstance(Struct, frozen=True):
    """An instance to measure, as a core knows it; `is_prefill` or else decode."""

    address: str
    is_prefill: bool
    max_sequence_tokens: int
    kv_capacity_tokens: int


class _Bench(Struct):
    """What is left to do at one instance, and what it took so far."""

    instance: Final[ProfiledInstance]
    tasks: Final[list[tuple[int, int]]]
    found: InstanceProfiled
    open_ids: set[int] = field(default_factory=set[int])
    # Of the prompt at work: tokens that are there, and those that were cached, once.
    position: int = 0
    cached: int = 0
    kv_tokens: int = 0
    num_steps: int = 0
    num_tokens: float = 0.0


class Profiler(TimingFlags):
    """A `Component` in the core's place; it begins when it hears that nobody will arrive. `table` stays empty."""

    address = CORE_ADDRESS
    priority = Priority.CORE
    deadline_ns = NEVER_NS

    def __init__(self, instances: Sequence[ProfiledInstance]) -> None:
        self.table = RequestTable()
        self._benches = {one.address: _bench(one) for one in instances}
        self._next_id = 0

    def found(self) -> list[InstanceProfiled]:
        """What was measured, of each instance from which anything came back."""
        return [
            InstanceProfiled(
                one.found.instance,
                one.found.sequences,
                one.found.new_tokens,
                one.found.context_tokens,
                one.found.cached_tokens,
                one.found.taken_ns,
                one.num_steps,
                round(one.num_tokens),
            )
            for one in self._benches.values()
            if one.found.taken_ns
        ]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Begin, or take a report and go on."""
        if isinstance(message, ArrivalsEnded):
            return tuple(output for bench in self._benches.values() for output in self._next(bench))
        if isinstance(message, PrefillStepped):
            return self._on_prefill_stepped(self._benches.get(message.instance), message)
        if isinstance(message, DecodeStepped):
            return self._on_decode_stepped(self._benches.get(message.instance), message)
        if isinstance(message, KvReserved):
            num = len(message.ids)
            payloads = seal_output_tokens([OUTPUT_TOKENS] * num)
            return ((message.instance, StartDecode(message.ids, [1] * num, payloads)),)
        return NOTHING  # what is lost stays unmeasured

    def wake(self, now_ns: int) -> Outputs:
        """There is no deadline."""
        return NOTHING

    def _next(self, bench: _Bench) -> Outputs:
        """The next prompt or batch."""
        if not bench.tasks:
            return NOTHING
        one, two = bench.tasks.pop(0)
        if bench.instance.is_prefill:
            tokens, bench.cached = one, two
            bench.position = bench.cached
            ids = self._ids(bench, 1)
            # An output of one token ends with the prompt, so that nothing is left behind.
            payloads = seal_output_tokens([1])
            # Read only where an instance has a cache of its own, which then has nothing of it.
            unknown: tuple[list[list[int]], list[int]] = ([[]], [0])
            command = StartPrefill(ids, [tokens], [two], [0], payloads, *unknown)
            return ((bench.instance.address, command),)
        ids = self._ids(bench, one)
        return ((bench.instance.address, ReserveKv(ids, [two] * one)),)

    def _ids(self, bench: _Bench, num: int) -> list[int]:
        ids = list(range(self._next_id, self._next_id + num))
        self._next_id += num
        bench.open_ids.update(ids)
        return ids

    def _on_prefill_stepped(self, bench: _Bench | None, message: PrefillStepped) -> Outputs:
        if bench is None:
            return NOTHING
        if message.computed_tokens:
            _add_pass(bench.found, 1, message.computed_tokens, bench.position, bench.cached, message.usage.busy_ns)
            bench.position += message.computed_tokens
            bench.cached = 0
        if message.started_cached_tokens:  # what its own cache had
            bench.position = bench.cached = sum(message.started_cached_tokens)
        return self._next(bench) if self._is_done(bench, message.prefilled_ids) else NOTHING

    def _on_decode_stepped(self, bench: _Bench | None, message: DecodeStepped) -> Outputs:
        if bench is None:
            return NOTHING
        kv_tokens, num, steps = bench.kv_tokens, message.num_running, message.num_steps
        bench.kv_tokens = message.kv_tokens
        if num and steps:
            _add_pass(bench.found, num, 0, kv_tokens, 0, message.first_step_ns)
            if steps > 1:
                grown = message.num_tokens * (steps - 1) // steps
                _add_pass(bench.found, num, 0, kv_tokens + grown, 0, message.last_step_ns)
            bench.num_steps += steps
            bench.num_tokens += message.mean_tokens
        gone = [*message.finished_ids, *message.preempted_ids]
        return self._next(bench) if self._is_done(bench, gone) else NOTHING

    def _is_done(self, bench: _Bench, gone: list[int]) -> bool:
        bench.open_ids.difference_update(gone)
        return bool(gone) and not bench.open_ids


def _bench(instance: ProfiledInstance) -> _Bench:
    found = InstanceProfiled(instance.address, [], [], [], [], [], 0, 0)
    longest = instance.max_sequence_tokens - OUTPUT_TOKENS
    if instance.is_prefill:
        tasks = [(min(tokens, longest), cached) for tokens, cached in PROMPTS if cached < longest]
    else:
        room = int(KV_SHARE * instance.kv_capacity_tokens)
        fitting = [(num, min(tokens, longest)) for num, tokens in BATCHES]
        tasks = [(max(1, min(num, room // tokens)), tokens) for num, tokens in fitting]
    return _Bench(instance, [task for task in tasks if min(task[0], longest) > 0], found)


def _add_pass(found: InstanceProfiled, num: int, new: int, context: int, cached: int, taken_ns: int) -> None:
    found.sequences.append(num)
    found.new_tokens.append(new)
    found.context_tokens.append(context)
    found.cached_tokens.append(cached)
    found.taken_ns.append(taken_ns)


class _Once(TimingFlags):
    """A source that sends what it has at its first instant, and nothing after."""

    priority = Priority.SOURCE

    def __init__(self, *messages: Message) -> None:
        self.deadline_ns = 0
        self._messages = messages

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """The run has ended."""
        self.deadline_ns = NEVER_NS
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """All of it."""
        self.deadline_ns = NEVER_NS
        return tuple((CORE_ADDRESS, message) for message in self._messages)


class Starter(_Once):
    """In the place of a source of requests: nobody arrives."""

    address = "source"

    def __init__(self) -> None:
        super().__init__(ArrivalsEnded())


class ProfileSource(_Once):
    """Sends the core what was measured; it must stand before the source of requests."""

    address = "profile"

    def __init__(self, found: Sequence[InstanceProfiled]) -> None:
        super().__init__(*found)
