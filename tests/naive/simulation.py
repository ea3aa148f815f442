"""The naive simulation of the whole system: start reading at `run_naive`, then `Core`.

It repeats docs/engine-rules.md independently of the product, one token and one step at a time, with no closed form and
nothing remembered that a scan can find out.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.naive.aggregated import Aggregated, Prompts
from tests.naive.blocks import blocks_for
from tests.naive.caching import Caching
from tests.naive.case import BUSY_WATTS, IDLE_WATTS, PARKED_WATTS, Case, Result, longest_blocks
from tests.naive.clients import ClosedLoop
from tests.naive.decode import Decode
from tests.naive.fabric import Fabric, Flow, Then
from tests.naive.parking import Governor, ParkingSlot
from tests.naive.prefill import Prefill
from tests.naive.request import Request
from tests.naive.sides import requests_at, same_at_decode, same_at_prefill, stays, tokens_at
from tests.naive.world import Actor, World


def run_naive(case: Case) -> Result:
    """Simulate a case to its end."""
    core = simulate(case)
    caches = [core.caching.pool] if case.cache_mode == "pool" else [p.cache for p in core.prefill if p.cache]
    end_ns = core.world.now_ns
    prefill, decode = slice(case.num_prefill), slice(case.num_decode)
    engines: list[Prefill | Decode] = [p for p in core.prefill if isinstance(p, Prefill)]
    engines += [*core.decode[decode], *core.aggregated]
    slots = (*core.prefill_slots[prefill], *core.decode_slots)
    for slot in slots:
        slot.end(end_ns)
    return Result(
        [request.outcome() for request in core.known],
        sum(cache.num_evictions for cache in caches),
        [sorted(cache.blocks) for cache in caches],
        end_ns,
        [engine.busy_ns for engine in engines],
        [
            BUSY_WATTS * engine.busy_ns
            + PARKED_WATTS * slot.parked_ns
            + IDLE_WATTS * (end_ns - engine.busy_ns - slot.parked_ns)
            + engine.work_joules()
            for engine, slot in zip(engines, slots, strict=True)
        ],
        core.fabric.num_bytes,
    )


def simulate(case: Case) -> Core:
    """Run a case and answer the core, from which everything else can be reached."""
    world = World()
    core = Core(world, case)
    for index in range(case.num_prefill):
        prefill = Prefill(world, case, index, core)
        core.prefill.append(prefill)
        core.prefill_slots.append(core.slot(prefill.priority, prefill.is_empty))
    for index in range(case.num_decode):
        decode = Decode(world, case, index, core)
        core.decode.append(decode)
        core.decode_slots.append(core.slot(decode.priority, decode.is_empty))
    for index in range(case.num_aggregated):
        aggregated = Aggregated(world, case, index, core)
        core.prefill.append(aggregated.prompts)
        core.decode.append(aggregated)
        core.aggregated.append(aggregated)
        slot = core.slot(aggregated.priority, aggregated.is_empty)
        core.prefill_slots.append(slot)
        core.decode_slots.append(slot)
    core.reported_kv = [0] * (case.num_decode + case.num_aggregated)
    if case.clients or case.is_graph:
        loop = ClosedLoop(world, case)
        loop.tell, loop.tell_end, core.tell_ended = core.on_arrived, core.on_arrivals_ended, loop.on_ended
        core.awaits_more = lambda: not core.has_all
    else:
        source = Source(world, [Request(row) for row in case.rows])
        core.awaits_more = lambda: bool(source.left)
        source.tell = core.on_arrived
    world.run()
    return core


class Source(Actor):
    """Hands over all requests of one instant together."""

    priority = 0

    def __init__(self, world: World, requests: list[Request]) -> None:
        super().__init__(world)
        self.left = list(requests)
        self.tell: Callable[[list[Request]], None] | None = None
        self._await_next()

    def _await_next(self) -> None:
        self.due_ns = min((request.arrived_ns for request in self.left), default=None)

    def fall_due(self) -> None:
        """These arrive now."""
        now_ns = self.world.now_ns
        assert self.tell is not None
        self.world.say(self.tell, [r for r in self.left if r.arrived_ns == now_ns])
        self.left = [r for r in self.left if r.arrived_ns != now_ns]
        self._await_next()


class Core:
    """The control plane: all it knows is found by scanning the requests."""

    def __init__(self, world: World, case: Case) -> None:
        self.world = world
        self.case = case
        self.known: list[Request] = []
        self.prefill: list[Prefill | Prompts] = []
        self.decode: list[Decode] = []
        self.aggregated: list[Aggregated] = []
        self.reported_kv: list[int] = []
        self.fabric = Fabric(world, case)
        self.being_made: list[Flow] = []
        self.turns = {"prefill": 0, "decode": 0}
        self.prefill_slots: list[ParkingSlot] = []
        self.decode_slots: list[ParkingSlot] = []
        self.governor = Governor(world, self)
        self.awaits_more: Callable[[], bool] = bool
        self.tell_ended: Callable[[list[Request]], None] | None = None
        self.ended: list[Request] = []
        self.has_all = False
        self.caching = Caching(world, self)
        self.computed_tokens = 0
        self.computing_ns = 0

    # -- parking

    def slot(self, priority: int, is_empty: Callable[[], bool]) -> ParkingSlot:
        """For the instance that was made last."""
        slot = ParkingSlot(self.world, priority, is_empty, self.case.parking[2] if self.case.parking else 0)
        slot.tell = self.governor.on_told
        return slot

    def has_heard(self) -> None:
        """After everything that the core hears."""
        if self.case.parking is not None:
            self.governor.weigh()
        if self.ended and self.tell_ended is not None:
            self.world.say(self.tell_ended, self.ended)
        self.ended = []

    def is_prefill_busy(self, index: int) -> bool:
        """Has it anything to do that the core knows of?"""
        return any(r.stage == "prefill" and r.prefill_instance == index for r in self.known)

    def is_decode_busy(self, index: int) -> bool:
        """The same at decode."""
        return any(r.counts_at_decode and r.decode_instance == index for r in self.known)

    # -- routing

    def prefill_tokens(self, index: int) -> int:
        """Uncached tokens of prompts that an instance has not computed."""
        here = [r for r in self.known if r.stage == "prefill" and r.prefill_instance == index]
        return sum(r.prompt_tokens + r.produced - r.cached for r in here)

    def decode_tokens(self, index: int) -> int:
        """What the instance reported last, and what was promised since to those that have not started there."""
        here = [r for r in self.known if r.counts_at_decode and r.decode_instance == index]
        promised = sum(r.prompt_tokens + r.produced + (not r.prefill_is_done) for r in here if r.stage != "decode")
        return self.reported_kv[index] + promised

    def _least(self, loads: list[int]) -> int:
        best = 0
        for index, load in enumerate(loads):
            if load < loads[best]:
                best = index
        return best

    def _pick(self, stage: str, policy: str, requests: list[int], tokens: list[int]) -> int:
        if policy == "least_loaded":
            return self._least(requests)
        if policy == "cloudmatrix":
            return self._least(tokens)
        assert policy == "round_robin"
        chosen = self.turns[stage] % len(requests)
        self.turns[stage] = chosen + 1
        return chosen

    def _pick_prefill(self, request: Request) -> int:
        indices = [i for i, slot in enumerate(self.prefill_slots) if slot.state == "awake"]
        if 0 < self.case.num_aggregated < len(self.prefill):
            is_local = stays(self, request)
            indices = [i for i in indices if (i >= self.case.num_prefill) is is_local]
        counts = [requests_at(self, i, same_at_decode(self.case, i)) for i in indices]
        tokens = [tokens_at(self, i, same_at_decode(self.case, i)) for i in indices]
        return indices[self._pick("prefill", self.case.prefill_policy, counts, tokens)]

    def _pick_decode(self) -> int:
        indices = [i for i, slot in enumerate(self.decode_slots) if slot.state == "awake"]
        counts = [requests_at(self, same_at_prefill(self.case, i), i) for i in indices]
        tokens = [tokens_at(self, same_at_prefill(self.case, i), i) for i in indices]
        return indices[self._pick("decode", self.case.decode_policy, counts, tokens)]

    # -- a request's life

    def _end(self, request: Request, reason: str) -> None:
        request.stage = "ended"
        request.reason = reason
        request.ended_ns = self.world.now_ns
        request.counts_at_decode = False
        self.ended.append(request)

    def on_arrived(self, requests: list[Request]) -> None:
        """Turn away what is too long or too many, send on the rest."""
        longest = 128 * min(longest_blocks(self.case), self.case.blocks_per_die) - 1
        welcome: list[Request] = []
        for request in requests:
            num_open = sum(r.stage != "ended" for r in self.known)
            request.number = len(self.known)
            self.known.append(request)
            if request.prompt_tokens > longest:
                self._end(request, "TOO_LONG")
            elif num_open >= self.case.max_open_requests:
                self._end(request, "OVERLOAD")
            else:
                welcome.append(request)
        self.caching.look_up(welcome)
        self.has_heard()

    def on_arrivals_ended(self) -> None:
        """Nothing more will come."""
        self.has_all = True
        self.has_heard()

    def route(self, requests: list[Request]) -> None:
        """What is cached of these is known."""
        groups: dict[tuple[int, bool], list[Request]] = {}
        for request in requests:
            index = self._pick_prefill(request)
            request.prefill_instance = index
            request.stage = "prefill"
            request.prefill_is_done = False
            groups.setdefault((index, request.cached > 0), []).append(request)
        for (index, is_cached), members in groups.items():
            if is_cached and self.caching.reads.are_tried(index):
                self.caching.read(index, members)
                continue
            for request in members:
                request.cached = 0
            self.start_prefill(index, members)

    def start_prefill(self, index: int, requests: list[Request]) -> None:
        """An instance is told to begin."""
        for request in requests:
            request.is_at_prefill = True
        self.world.say(self.prefill[index].start, requests)

    def transfer(self, flow: Flow, then: Then) -> None:
        """The fabric is told to move something."""
        flow.then = then
        self.world.say(self.fabric.start, flow)

    def on_prefill_boundary(
        self,
        index: int,
        started: list[tuple[Request, int]],
        closing: list[Request],
        done: list[Request],
        stopped: list[Request],
        passed: tuple[int, int],
        waiting: list[Request],
    ) -> None:
        """One pass ended, in which so many tokens were computed in so many nanoseconds; another began."""
        self.computed_tokens += passed[0]
        self.computing_ns += passed[1]
        for request, cached in started:
            request.is_at_prefill = False
            request.cached = cached
            if request.prefill_started_ns == -1:
                request.prefill_started_ns = self.world.now_ns
        self._take_first_tokens(index, done)
        if index >= self.case.num_prefill:
            for request in done:
                if request not in stopped:
                    request.decode_instance = self.case.num_decode + index - self.case.num_prefill
                    request.counts_at_decode = True
            for request in stopped:
                self._end(request, "STOP")
            self.caching.look_up_again(waiting)
            self.has_heard()
            return
        for decode in self._in_order_of(stopped):
            gone = [r for r in stopped if r.decode_instance == decode]
            self.world.say(self.decode[decode].release, gone)
        for request in stopped:
            self._end(request, "STOP")
        self._finish_flows(index)
        self._reserve(closing)
        self.caching.look_up_again(waiting)
        self.has_heard()

    def _in_order_of(self, requests: list[Request]) -> list[int]:
        order: list[int] = []
        for request in requests:
            if request.decode_instance not in order:
                order.append(request.decode_instance)
        return order

    def _take_first_tokens(self, index: int, done: list[Request]) -> None:
        fresh = [r for r in done if r.first_token_ns == -1]
        self.caching.take_computed(index, done)
        for request in done:
            if request in fresh:
                request.first_token_ns = self.world.now_ns
            request.last_token_ns = self.world.now_ns
            request.produced += 1
            request.prefill_is_done = True
            request.stage = "moving"

    def _reserve(self, closing: list[Request]) -> None:
        asked: list[tuple[Request, int]] = []
        for request in closing:
            request.decode_instance = self._pick_decode()
            request.counts_at_decode = True
            asked.append((request, request.prompt_tokens + request.produced + 1))
        for index in self._in_order_of(closing):
            self.world.say(self.decode[index].reserve, [a for a in asked if a[0].decode_instance == index])

    def on_reserved(self, requests: list[Request]) -> None:
        """Room is kept: move what is there, or what is made of it."""
        open_requests = [r for r in requests if r.stage != "ended"]
        self._kv_transfer([r for r in open_requests if r.prefill_is_done], is_made=True)
        self._kv_transfer([r for r in open_requests if not r.prefill_is_done], is_made=False)

    def _kv_transfer(self, requests: list[Request], is_made: bool) -> None:
        groups: dict[tuple[int, int], list[Request]] = {}
        for request in requests:
            groups.setdefault((request.prefill_instance, request.decode_instance), []).append(request)
        for (prefill, decode), members in groups.items():
            tokens = [r.prompt_tokens + r.produced - is_made for r in members]
            flow = Flow("KV transfer", prefill, decode, tokens, members)
            flow.dies = [r.decode_die for r in members]
            flow.is_made = is_made
            if not is_made:
                self.being_made.append(flow)
            self.transfer(flow, self._on_handed_over)

    def _finish_flows(self, prefill: int) -> None:
        """A pass has ended: what flowed of it meanwhile is complete, unless all whose it is have ended with it."""
        for flow in [flow for flow in self.being_made if flow.prefill == prefill]:
            self.being_made.remove(flow)
            flow.requests = [r for r in flow.requests if r.stage != "ended"]
            self.world.say(self.fabric.finish if flow.requests else self.fabric.cancel, flow)

    def _on_handed_over(self, requests: list[Request]) -> None:
        self.world.say(self.prefill[requests[0].prefill_instance].release, requests)
        self.world.say(self.decode[requests[0].decode_instance].start, requests)

    def on_decode_boundary(
        self,
        index: int,
        kv_tokens: int,
        started: list[Request],
        finished: list[Request],
        cut: list[tuple[Request, int]],
        preempted: list[tuple[Request, int]],
    ) -> None:
        """Membership of a decode instance changed."""
        now_ns = self.world.now_ns
        self.reported_kv[index] = kv_tokens
        for request in started:
            request.stage = "decode"
            request.decode_started_ns = now_ns
        for request, produced in [*((r, r.output_tokens) for r in finished), *cut, *preempted]:
            if produced > request.produced:
                request.last_token_ns = now_ns
            request.produced = produced
        self.caching.take_answers(index, [*finished, *(request for request, _ in cut)])
        for request in finished:
            self._end(request, "STOP")
        for request, _ in cut:
            self._end(request, "LENGTH")
        for request, _ in preempted:
            request.stage = "new"
            request.counts_at_decode = False
            request.cached = 0
            request.num_preemptions += 1
        again = [request for request, _ in preempted]
        for request in list(again):
            if blocks_for(request.prompt_tokens + request.produced) > longest_blocks(self.case):
                self._end(request, "LENGTH")
                again.remove(request)
        self.caching.look_up(again)
        self.has_heard()
