"""What expert traffic and the pool leave each other: fair, as exact coupling has it, and nothing where it is off."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    CancelTransfer,
    ExpertLoadReported,
    LinkShare,
    Message,
    PrefillStepped,
    StartPrefill,
    StartTransfer,
    TransferDone,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.unit.workers.fabric.expert_traffic_system import DIES, GB, LINE, MS, make_fabric, read, run, run_fabric
from workers.fabric.expert_load import PPM, ExpertLoad
from workers.fabric.expert_traffic import ExpertLinks, burst_share_ppm
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance

TOKENS = 1_000
COMPUTED_NS, LINE_NS = 60 * MS, 20 * MS
"""Of one pass: what computes, and what its expert traffic takes of the line, which nothing hides."""

ENDS = ExpertLinks(1, 2, DIES, LINE)
READ_NS = 4
"""Tokens of a read that takes a nanosecond alone."""

Reads = list[tuple[int, int]]
"""(time, length of the read alone), nanoseconds."""


@dataclass(frozen=True)
class PassCost:
    """One pass, by the share of the link that its expert traffic has."""

    share: float = 1.0

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        return round(computed_tokens / TOKENS * (COMPUTED_NS + LINE_NS / self.share))

    def at(self, share_ppm: int) -> PassCost:
        return PassCost(share_ppm / PPM)


class NoEnergy:
    """Nothing is drawn."""

    def joules(self, **_: int) -> float:
        return 0.0


def coupled(num_passes: int, reads: Reads, *, is_on: bool = True) -> tuple[int, dict[int, int]]:
    """When the last pass ends, and how long each read takes."""
    cost = PassCost()
    expert_load = ExpertLoad("p0", cost, (LINE_NS / TOKENS, 0.0), LINE) if is_on else None
    prefill = PrefillInstance("p0", PrefillConfig(TOKENS, 10**6), cost, NoEnergy(), expert_load=expert_load)
    ids = list(range(num_passes))
    column, none = [TOKENS] * num_passes, [0] * num_passes
    start = StartPrefill(ids, column, none, none, seal_output_tokens([2] * num_passes), [], [])
    said: list[tuple[int, str, Message]] = [(0, "p0", start)]
    said += [(at, "fabric", read(number, READ_NS * length)) for number, (at, length) in enumerate(reads)]
    told = run({"fabric": make_fabric(expert_traffic=is_on), "p0": prefill}, said)
    passes = [time for time, _, message in told if isinstance(message, PrefillStepped)]
    done = [message for _, _, message in told if isinstance(message, TransferDone)]
    return passes[-1], {message.transfer_id: message.duration_ns for message in done}


def exactly(num_passes: int, reads: Reads, step_ns: int) -> tuple[int, dict[int, int]]:
    """The same, all shares found anew at each small step."""
    now_ns, done_passes = 0, 0.0
    left = {number: float(length) for number, (_, length) in enumerate(reads)}
    lasted: dict[int, int] = {}
    last_ns = 0
    while left or done_passes < num_passes:
        moving = [number for number in left if reads[number][0] <= now_ns]
        pass_ns = COMPUTED_NS + LINE_NS * (1 + len(moving))
        is_working = done_passes < num_passes
        taken = LINE_NS / pass_ns if is_working else 0.0
        for number in moving:
            left[number] -= step_ns * (1 - taken) / len(moving)
            if left[number] <= 0:
                del left[number]
                lasted[number] = now_ns + step_ns - reads[number][0]
        now_ns += step_ns
        if is_working:
            done_passes += step_ns / pass_ns
            last_ns = now_ns
    return last_ns, lasted


@pytest.mark.parametrize(
    "reads",
    [
        [(0, 700 * MS)],  # one that never ends
        [(at * 10 * MS, 5 * MS) for at in range(100)],  # half of the time
        [(at * 100 * MS, 30 * MS) for at in range(10)] * 2,  # two at once
        [(300 * MS, 400 * MS)],  # one that begins within a pass
        [(at * MS, 50_000) for at in range(1_000)],  # as short as real ones are
    ],
)
def test_the_estimate_is_close_to_exact_coupling(reads: Reads) -> None:
    exact_ns, exact_reads = exactly(10, reads, 10_000)
    found_ns, found_reads = coupled(10, reads)
    assert found_ns == pytest.approx(exact_ns, rel=0.03)
    assert sum(found_reads.values()) == pytest.approx(sum(exact_reads.values()), rel=0.15)


def test_off_a_pass_and_a_read_last_what_they_do_alone_and_on_both_lose() -> None:
    reads = [(0, 700 * MS)]
    alone_ns, alone_reads = coupled(10, reads, is_on=False)
    assert (alone_ns, alone_reads) == (10 * (COMPUTED_NS + LINE_NS), {0: 700 * MS})
    found_ns, found_reads = coupled(10, reads)
    assert found_ns > alone_ns
    assert found_reads[0] > alone_reads[0]


def test_passes_without_reads_last_the_same_with_it_on() -> None:
    assert coupled(7, []) == (7 * (COMPUTED_NS + LINE_NS), {})


READS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 100)), max_size=6)


@settings(max_examples=15)
@given(READS, st.integers(0, 300), st.integers(1, 100))
def test_more_of_the_pool_never_speeds_the_passes(times: list[tuple[int, int]], at: int, length: int) -> None:
    reads = [(begin * MS, some * MS) for begin, some in times]
    fewer_ns, fewer_reads = coupled(4, reads)
    more_ns, more_reads = coupled(4, [*reads, (at * MS, length * MS)])
    # Estimates are made at other times then, so that a pass may feel what comes up to a refresh later.
    assert more_ns >= fewer_ns * 0.97
    assert more_ns >= 4 * (COMPUTED_NS + LINE_NS)
    assert len(fewer_reads) + 1 == len(more_reads) == len(reads) + 1


@given(st.integers(0, 50), st.integers(1, 9))
def test_no_line_carries_more_than_it_can(load_gb: int, num_reads: int) -> None:
    load = ExpertLoadReported("p0", load_gb * GB, 10**12, PPM)
    said: list[tuple[int, Message]] = [(0, load), *[(0, read(number, READ_NS * MS)) for number in range(num_reads)]]
    ends = [time for time, message in run_fabric(make_fabric(), said) if isinstance(message, TransferDone)]
    # All of the link that the expert traffic does not take, to a nanosecond and what rounding of fair shares leaves.
    assert max(ends) == pytest.approx(num_reads * MS * 100 / (100 - load_gb), rel=1e-6)


def test_a_load_that_comes_and_goes_is_felt_by_what_is_under_way() -> None:
    load, gone = ExpertLoadReported("p0", 50 * GB, 10**12, PPM), ExpertLoadReported("p0", 0, 30 * MS, PPM)
    told = run_fabric(make_fabric(), [(0, read(0, READ_NS * 50 * MS)), (10 * MS, load), (30 * MS, gone)])
    assert [time for time, message in told if isinstance(message, TransferDone)] == [60 * MS]


def test_a_write_given_up_is_off_the_line() -> None:
    write = StartTransfer(0, TransferKind.CACHE_WRITE, Plane.UB, "p0", "cache", [READ_NS * 10**12], [], True)
    load = ExpertLoadReported("p0", 10 * GB, 10**12, PPM)
    told = run_fabric(make_fabric(), [(0, load), (0, write), (300 * MS, CancelTransfer(0))])
    assert told == [(100 * MS, LinkShare(500_000)), (400 * MS, LinkShare(PPM))]


@pytest.mark.parametrize(
    ("num_pool", "steady", "share_ppm"),
    [
        (0, [], PPM),
        (1, [], 500_000),
        (3, [], 250_000),
        (0, [(20 * GB, DIES)], 800_000),
        (0, [(90 * GB, DIES)], 500_000),
        (1, [(20 * GB, DIES)], 400_000),
        (0, [(90 * GB, 1)], 800_000),  # on one line of four, as if on a quarter of each
        (0, [(10 * GB, DIES), (90 * GB, DIES)], 450_000),
    ],
)
def test_a_burst_has_a_fair_share(num_pool: int, steady: list[tuple[int, int]], share_ppm: int) -> None:
    assert burst_share_ppm(ENDS, num_pool, steady) == share_ppm
