"""What may go wrong in a run of a case, and strategies for it."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from scheduler.protocol.addresses import (
    CACHE_ADDRESS,
    FABRIC_ADDRESS,
    aggregated_address,
    decode_address,
    prefill_address,
)
from scheduler.protocol.component import NEVER_NS
from tests.made_up_fabric import lines_in
from tests.naive.case import Case, Row


@dataclass(frozen=True)
class Loss:
    """These die at `at_ns`; the core hears of it `unnoticed_ns` later; `down_ns` after that new ones are there."""

    at_ns: int
    addresses: tuple[str, ...]
    unnoticed_ns: int = 0
    down_ns: int = 0


@dataclass(frozen=True)
class ServerLeave:
    """A server of the cache pool is lost, or drained, and is back `away_ns` later."""

    at_ns: int
    number: int
    is_drained: bool
    away_ns: int


@dataclass(frozen=True)
class Fault:
    """At `at_ns` these parts of the fabric fail, or are mended."""

    at_ns: int
    parts: tuple[str, ...]
    is_mended: bool = False


@dataclass(frozen=True)
class Trouble:
    """All that goes wrong in a run, at whose end all parts are mended.

    `delays_ns`: how long messages take on their way, in turn.
    """

    losses: tuple[Loss, ...] = ()
    faults: tuple[Fault, ...] = ()
    delays_ns: tuple[int, ...] = (0,)
    max_retries: int = 3
    report_interval_ns: int = NEVER_NS
    leaves: tuple[ServerLeave, ...] = ()
    start_ns: int = 0
    """Until a process that is to start is there."""

    @property
    def mended_ns(self) -> int:
        """When all parts are mended, be the fabric there to hear it or not."""
        return max((fault.at_ns for fault in self.faults), default=0) + 1


@st.composite
def fetching_cases(draw: st.DrawFn) -> Case:
    """One prompt after the other fetches its beginning from the pool, over a long way."""
    rows = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 40)), min_size=3, max_size=8))
    prompts = tuple(Row(5_000 * at, 128, output, (1, 2)) for at, output in sorted(rows))
    latency_ns = draw(st.sampled_from([3_000, 15_000]))
    num_prefill = draw(st.integers(1, 3))
    return Case(
        prompts,
        num_prefill=num_prefill,
        latency_ns=latency_ns,
        cache_mode="pool",
        cache_blocks=8,
        num_decode=2,
        cache_servers=draw(st.sampled_from([1, 2, 3])),
        cache_ssd_blocks=draw(st.sampled_from([0, 4])),
    )


DELAYS_NS = st.sampled_from([(0,), (0,), (0, 900), (300, 5_000, 0, 0, 1_700), (2_000,), (0, 40_000)])


@st.composite
def troubles(draw: st.DrawFn, case: Case) -> Trouble:
    """Losses of any of a case's components, alone and together, while it runs and after."""
    hosts: list[tuple[str, ...]] = [(prefill_address(i),) for i in range(case.num_prefill)]
    hosts += [(decode_address(i),) for i in range(case.num_decode)]
    hosts += [(aggregated_address(i),) for i in range(case.num_aggregated)]
    pool = (CACHE_ADDRESS,) if case.cache_mode == "pool" else ()
    hosts += [(FABRIC_ADDRESS, *pool), (FABRIC_ADDRESS,), *([pool] if pool else [])]
    several = st.lists(st.sampled_from(hosts), min_size=1, max_size=3, unique=True)
    addresses = several.map(lambda chosen: tuple(sorted({address for host in chosen for address in host})))
    at_ns = st.one_of(st.integers(0, 30_000), st.integers(0, 200_000), st.sampled_from([0, 5_000, 20_000]))
    loss = st.builds(
        Loss, at_ns, addresses, st.sampled_from([0, 0, 300, 5_000]), st.sampled_from([0, 500, 10_000, 60_000])
    )
    return Trouble(
        tuple(draw(st.lists(loss, min_size=1, max_size=8))),
        (),
        draw(DELAYS_NS),
        draw(st.sampled_from([0, 1, 3, 100, 100])),
        draw(st.sampled_from([1_500, 20_000, NEVER_NS])),
        tuple(draw(st.lists(_leaves(case, at_ns), max_size=6))) if pool else (),
    )


@st.composite
def faults(draw: st.DrawFn, case: Case, *, spares_first: bool = False) -> tuple[Fault, ...]:
    """Lines of ranks, of dies, of whole instances and of the pool break and are mended while a case runs.

    `spares_first`: never the first rank or die of an instance.
    """
    parts = lines_in(case).parts
    num_ranks = case.num_prefill * case.num_ranks
    ends = [parts[i * case.num_ranks : (i + 1) * case.num_ranks] for i in range(case.num_prefill)]
    num_decoding = case.num_decode + case.num_aggregated
    ends += [parts[num_ranks + i * case.num_dies :][: case.num_dies] for i in range(num_decoding)]
    if spares_first:
        ends = [end[1:] for end in ends]
    stages = [[part for end in stage for part in end] for stage in (ends[: case.num_prefill], ends[case.num_prefill :])]
    ub_lines = parts[num_ranks + num_decoding * case.num_dies :]
    groups = [*(tuple(end) for end in (*ends, *stages)), *((part,) for part in (*stages[0], *stages[1], *ub_lines))]
    at_ns = st.one_of(st.integers(0, 30_000), st.integers(0, 200_000), st.sampled_from([0, 5_000, 20_000]))
    groups = [group for group in groups if group]
    fault = st.builds(Fault, at_ns, st.sampled_from(groups), st.sampled_from([False, False, True]))
    return tuple(draw(st.lists(fault, min_size=1, max_size=10)))


def _leaves(case: Case, at_ns: st.SearchStrategy[int]) -> st.SearchStrategy[ServerLeave]:
    number = st.integers(0, case.cache_servers - 1)
    return st.builds(ServerLeave, at_ns, number, st.booleans(), st.sampled_from([0, 3_000, 60_000]))
