"""The invariants over the journal of a run, looked at from outside: from messages, not from how they came about.

Each `check_*` takes a `Journal` of a whole run and raises AssertionError naming what is wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from scheduler.core.lifecycle import State
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import UNAWAITED, TransferKind
from scheduler.protocol.messages import (
    CancelTransfer,
    DecodeStepped,
    FinishTransfer,
    KvReserved,
    Message,
    PrefillStepped,
    RequestsArrived,
    ReserveKv,
    StartDecode,
    StartPrefill,
    StartTransfer,
    TransferDone,
    TransferOverdue,
    Usage,
    UsageReported,
)
from tests.checkers.clients import check_clients
from tests.naive.case import BUSY_WATTS, IDLE_WATTS, PARKED_WATTS, Case, Outcome, longest_blocks
from tests.sim.build import RealSystem, build_real
from tests.sim.cache_parts import blocks_in
from workers.decode.instance import DecodeInstance
from workers.fabric.fabric import Fabric

REJECTIONS = ("TOO_LONG", "OVERLOAD")

Entry = tuple[int, str, Message]
"""(time, who is told, what)."""


@dataclass
class Journal:
    """All that the core heard and said, in order, and what became of it."""

    system: RealSystem
    entries: list[Entry] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def note(self, now_ns: int, address: str, message: Message) -> None:
        """A listener."""
        self.entries.append((now_ns, address, message))


def run_checked(case: Case, *, skip_steps: bool = True, report_interval_ns: int = NEVER_NS) -> Journal:
    """Run a case under all eyes and check everything."""
    system = build_real(case, skip_steps=skip_steps, report_interval_ns=report_interval_ns)
    journal = Journal(system)
    journal.outcomes = system.run(listeners=[journal.note, BlockCounter(system)]).outcomes
    for check in CHECKS:
        check(journal)
    return journal


def check_one_end(journal: Journal) -> None:
    """INV-1: every request ends once: by its own report, at the door, or preempted with more than can be recomputed."""
    ends: Counter[int] = Counter()
    last_preempted: dict[int, int] = {}
    for _, _, message in journal.entries:
        if isinstance(message, PrefillStepped):
            ends.update(message.finished_ids)
        elif isinstance(message, DecodeStepped):
            ends.update(message.finished_ids)
            last_preempted |= zip(message.preempted_ids, message.preempted_tokens)
    for request_id, output_tokens in last_preempted.items():
        if _is_end(journal, request_id, output_tokens):
            assert journal.outcomes[request_id].reason == "LENGTH"
            ends[request_id] += 1
    assert len(journal.outcomes) == len(journal.system.source.rows())
    for request_id, outcome in enumerate(journal.outcomes):
        assert outcome.reason in ("STOP", "LENGTH", *REJECTIONS), (request_id, outcome)
        assert ends[request_id] == (outcome.reason not in REJECTIONS), (request_id, outcome)
    table = journal.system.scheduler.table
    assert table.num_open == 0
    assert set(table.state[: table.num_requests]) == {State.ENDED}


LIFE = {
    ("arrived", "sent"): "queued",
    ("queued", "started"): "prefilling",
    ("prefilling", "closing"): "closing",
    ("closing", "asked"): "asked",
    ("asked", "reserved"): "asked and reserved",
    ("asked", "done"): "done",
    ("asked", "stopped"): "ended",
    ("asked and reserved", "done"): "moving",
    ("asked and reserved", "stopped"): "ended",
    ("done", "reserved"): "moving",
    ("moving", "told"): "told",
    ("told", "joined"): "decoding",
    ("decoding", "finished"): "ended",
    ("decoding", "preempted"): "preempted",
    ("preempted", "sent"): "queued",
    ("closing", "done"): "stayed",
    ("closing", "stopped"): "ended",
    ("stayed", "joined"): "decoding",
}
"""A request's life as the messages tell it. Room may still be granted to one that has just ended; nothing else may."""


def check_life(journal: Journal) -> None:
    """INV-2: the messages about each request come in an order that a life can have."""
    where = dict.fromkeys(range(len(journal.outcomes)), "arrived")
    for now_ns, _, message in journal.entries:
        for event, ids in _events(message):
            for request_id in ids:
                if where[request_id] == "ended" and event == "reserved":
                    continue
                step = (where[request_id], event)
                assert step in LIFE, (now_ns, request_id, step)
                where[request_id] = LIFE[step]
    for request_id, outcome in enumerate(journal.outcomes):
        # A preempted request that no prefill instance could compute again ends there.
        ends = ["arrived"] if outcome.reason in REJECTIONS else ["ended"]
        assert where[request_id] in [*ends, *["preempted"] * (outcome.reason == "LENGTH")]


def _events(message: Message) -> list[tuple[str, list[int]]]:
    if isinstance(message, StartPrefill):
        return [("sent", message.ids)]
    if isinstance(message, PrefillStepped):
        stopped = set(message.finished_ids)
        return [
            ("stopped", message.finished_ids),
            ("done", [i for i in message.prefilled_ids if i not in stopped]),
            ("started", message.started_ids),
            ("closing", message.last_chunk_ids),
        ]
    if isinstance(message, ReserveKv):
        return [("asked", message.ids)]
    if isinstance(message, KvReserved):
        return [("reserved", message.ids)]
    if isinstance(message, StartDecode):
        return [("told", message.ids)]
    if isinstance(message, DecodeStepped):
        # One that joins may have to leave at once, for lack of room.
        return [
            ("joined", message.started_ids),
            ("finished", message.finished_ids),
            ("preempted", message.preempted_ids),
        ]
    return []


def check_time(journal: Journal) -> None:
    """INV-3: time never goes back, and what fell due was told when it did (nobody waits for a write to the cache, which
    may be told later, or when the run ends)."""
    last_ns = 0
    for now_ns, _, message in journal.entries:
        assert now_ns >= last_ns
        last_ns = now_ns
        if isinstance(message, PrefillStepped | DecodeStepped):
            assert message.boundary_ns == now_ns
        elif isinstance(message, TransferDone):
            assert message.done_ns == now_ns or message.kind in UNAWAITED


READS = (TransferKind.CACHE_READ, TransferKind.CACHE_SSD_READ)


class BlockCounter:
    """INV-4, a listener: on every worker, blocks referenced + free = total at every message."""

    def __init__(self, system: RealSystem) -> None:
        self._system = system

    def __call__(self, now_ns: int, address: str, message: Message) -> None:
        case = self._system.case
        for prefill in self._system.prefill:
            assert prefill.free_blocks >= 0
            assert prefill.free_blocks + sum(prefill._blocks_held.values()) == case.prefill_blocks
        for decode in (*self._system.decode, *self._system.aggregated):
            self._count(decode, case)
        for cache in self._system.caches:
            blocks_in(cache)

    def _count(self, decode: DecodeInstance, case: Case) -> None:
        for die in range(case.num_dies):
            running = decode._on_die[die].values()
            kept = [placed for placed in decode.memory._placed.values() if placed[0] == die]
            blocks = sum(sequence.blocks for sequence in running) + sum(placed[1] for placed in kept)
            assert decode.memory.free_blocks[die] >= 0
            assert decode.memory.free_blocks[die] + blocks == case.blocks_per_die
            assert decode.memory.free_slots[die] >= 0
            assert decode.memory.free_slots[die] + len(running) + len(kept) == case.slots_per_die


def check_all_is_free(journal: Journal) -> None:
    """INV-4 at the end: nobody holds, waits or pins any more."""
    system = journal.system
    for prefill in system.prefill:
        assert prefill.free_blocks == system.case.prefill_blocks
    for decode in (*system.decode, *system.aggregated):
        assert decode.memory.free_blocks == [system.case.blocks_per_die] * system.case.num_dies
        assert decode.memory.num_waiting == 0
    for cache in system.caches:
        assert not cache.num_open


def check_order_of_stamps(journal: Journal) -> None:
    """INV-5: arrival, prefill, first and last token come in this order, and room is kept before its KV is used."""
    for outcome in journal.outcomes:
        if outcome.reason in REJECTIONS:
            assert outcome.arrived_ns == outcome.ended_ns
            assert outcome.prefill_started_ns == outcome.first_token_ns == outcome.last_token_ns == -1
            continue
        assert outcome.arrived_ns <= outcome.prefill_started_ns < outcome.first_token_ns <= outcome.last_token_ns
        # Who is cut for lack of room may have got its last token before.
        assert outcome.last_token_ns == outcome.ended_ns or outcome.reason == "LENGTH"
        assert outcome.last_token_ns <= outcome.ended_ns
        assert outcome.cached_tokens >= 0
        if outcome.decode_started_ns != -1:
            assert outcome.first_token_ns <= outcome.decode_started_ns <= outcome.ended_ns
    reserved_ns: dict[int, int] = {}
    told_ns: dict[int, int] = {}
    for now_ns, _, message in journal.entries:
        if isinstance(message, KvReserved):
            reserved_ns.update(dict.fromkeys(message.ids, now_ns))
        elif isinstance(message, StartDecode):
            assert all(reserved_ns.pop(request_id) <= now_ns for request_id in message.ids)
            told_ns.update(dict.fromkeys(message.ids, now_ns))
        elif isinstance(message, DecodeStepped):
            # Who stayed where it was computed was told nothing.
            assert all(told_ns.pop(request_id, now_ns) <= now_ns for request_id in message.started_ids)


def check_bytes(journal: Journal) -> None:
    """INV-10 for bytes: in a run that nobody interrupted, started = done + given up."""
    per_token = journal.system.case.bytes_per_token
    moving: dict[int, tuple[int, int, TransferKind]] = {}
    given_up: set[int] = set()
    for now_ns, _, message in journal.entries:
        if isinstance(message, StartTransfer):
            assert min(message.num_tokens) > 0
            made_ns = now_ns if message.is_made else -1
            moving[message.transfer_id] = (made_ns, sum(message.num_tokens) * per_token, message.kind)
        elif isinstance(message, FinishTransfer):
            made_ns, num_bytes, kind = moving[message.transfer_id]
            assert made_ns == -1
            moving[message.transfer_id] = (now_ns, num_bytes, kind)
        elif isinstance(message, CancelTransfer | TransferOverdue):
            del moving[message.transfer_id]
            given_up.add(message.transfer_id)
        elif isinstance(message, TransferDone):
            if message.transfer_id in given_up:
                continue  # its last byte had left its links
            made_ns, num_bytes, kind = moving.pop(message.transfer_id)
            assert (num_bytes, kind) == (message.num_bytes, message.kind)
            assert message.done_ns - message.duration_ns == made_ns >= 0
    assert not moving


def check_reads(journal: Journal) -> None:
    """No read keeps its requests longer than computing what it brings would, by what passes had taken until then."""
    due_ns: dict[int, int] = {}
    computed = computing_ns = limit_ns = 0
    for now_ns, _, message in journal.entries:
        if isinstance(message, PrefillStepped):
            computed += message.computed_tokens
            computing_ns += message.usage.busy_ns
        elif isinstance(message, StartTransfer) and message.kind in READS:
            if message.kind == TransferKind.CACHE_READ:  # what comes from SSD beside it is part of the same
                limit_ns = max(1, sum(message.num_tokens) * computing_ns // computed) if computed else NEVER_NS
            due_ns[message.transfer_id] = now_ns + limit_ns
        elif isinstance(message, CancelTransfer | TransferOverdue | TransferDone):
            assert now_ns <= due_ns.pop(message.transfer_id, now_ns)


def check_links(fabric: Fabric) -> None:
    """No link is to carry more than it can."""
    for plane in fabric._routes.planes.values():
        shares = plane._shares
        if plane._unshared_ns != NEVER_NS:
            continue  # found anew before time goes on
        for link, capacity in enumerate(shares._capacities):
            carried = sum(shares.weights[path] * shares.level(path) for path in shares._over[link])
            assert carried <= capacity, (link, carried, capacity)
    carried_by = dict.fromkeys(range(len(fabric._routes.capacities)), 0)
    for rank in fabric._ranks._links.values():
        for _, _, _, die, _ in rank.ending:
            carried_by[rank.rank] += rank.level
            carried_by[die] += rank.level
    for link, capacity in enumerate(fabric._routes.capacities):
        assert carried_by[link] <= capacity, (link, carried_by[link], capacity)


def usages_of(journal: Journal) -> dict[str, list[Usage]]:
    """What each engine accounted for, in order."""
    usages: dict[str, list[Usage]] = {}
    for _, _, message in journal.entries:
        if isinstance(message, PrefillStepped | DecodeStepped | UsageReported):
            usages.setdefault(message.instance, []).append(message.usage)
    return usages


def check_usage(journal: Journal) -> None:
    """INV-11: accounts join seamlessly from 0 to the end of the run; none draws less than its powers alone."""
    end_ns = journal.system.runtime.now_ns
    usages = usages_of(journal)
    case = journal.system.case
    assert len(usages) == case.num_prefill + case.num_decode + case.num_aggregated
    for name, parts in usages.items():
        clock_ns = 0
        for usage in parts:
            assert usage.start_ns == clock_ns <= usage.end_ns, name
            assert 0 <= usage.busy_ns <= usage.end_ns - usage.start_ns, name
            clock_ns = usage.end_ns
            idle_ns = usage.end_ns - usage.start_ns - usage.busy_ns
            idle_w = PARKED_WATTS if journal.system.case.parking else IDLE_WATTS
            floor = BUSY_WATTS * usage.busy_ns + idle_w * idle_ns
            assert usage.joules >= floor, name
            # An account of idle time alone is all parked or all waiting. Steps may be shorter than the nanosecond that
            # accounts are kept in.
            is_idle = not usage.busy_ns and journal.system.case.fixed_ps >= 1000
            assert not is_idle or usage.joules in (floor, IDLE_WATTS * idle_ns), name
        assert clock_ns == end_ns, name


def check_bounds(journal: Journal) -> None:
    """INV-12: never more open requests than allowed, and nobody is turned away below the bound."""
    bound = journal.system.case.max_open_requests
    outcomes = journal.outcomes
    num_open = num_known = 0
    for _, _, message in journal.entries:
        if isinstance(message, RequestsArrived):
            for outcome in outcomes[num_known : num_known + len(message.prompt_tokens)]:
                num_open += outcome.reason not in REJECTIONS
                assert outcome.reason != "OVERLOAD" or num_open == bound
            num_known += len(message.prompt_tokens)
            assert num_open <= bound
        elif isinstance(message, PrefillStepped):
            num_open -= len(message.finished_ids)
        elif isinstance(message, DecodeStepped):
            num_open -= len(message.finished_ids)
            num_open -= sum(_is_end(journal, *ids) for ids in zip(message.preempted_ids, message.preempted_tokens))
    assert num_open == 0


def _is_end(journal: Journal, request_id: int, output_tokens: int) -> bool:
    """Whether a preempted request has outgrown the prefill instances, which ends it."""
    prompt_tokens = journal.system.scheduler.table.prompt_tokens[request_id]
    return prompt_tokens + output_tokens > 128 * longest_blocks(journal.system.case)


def check_closed_loop(journal: Journal) -> None:
    """INV-13, where a case has clients or rows that wait for each other."""
    check_clients(journal.system.case, journal.system.source.calls)


CHECKS = [
    check_one_end,
    check_life,
    check_time,
    check_all_is_free,
    check_order_of_stamps,
    check_bytes,
    check_reads,
    check_usage,
    check_bounds,
    check_closed_loop,
]
