"""One small system and its requests as plain data: what the real and the naive simulation both are built from."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL, FlowControl

NEVER = -1
"""A time or an index that a request does not have."""


@dataclass(frozen=True)
class Row:
    """One request of the input. `prefix` names the prompt's consecutive cache blocks; empty when nothing is known."""

    arrived_ns: int
    prompt_tokens: int
    output_tokens: int
    prefix: tuple[int, ...] = ()
    tenant: int = 0
    answer: int | None = None
    """The id of the block in which the answer begins, where one is known; those after it are numbered on."""
    waits_for: tuple[int, ...] | None = ()
    """Earlier rows, by number, whose ends it waits for; None for the last one before it of its session, if any."""
    delay_ns: int | None = 0
    """After the last of these ends; None for the time between the rows."""
    session: int = NEVER


@dataclass(frozen=True)
class Clients:
    """So many clients, each of which thinks after the end of each of its requests.

    They think for the `think_ns` in turn, in the order of the ends; the first begins at once, the others evenly over
    `ramp_ns`. They ask for the requests of one tenant, or of all if that is None.
    """

    number: int
    think_ns: tuple[int, ...] = (0,)
    ramp_ns: int = 0
    tenant: int | None = None


@dataclass(frozen=True)
class Case:
    """A whole system; every default is a plain, roomy one, so that a test says only what it varies.

    `stream_bytes_per_s` is the data of one stream, of which a cache transfer has `num_streams` and a request that is
    handed over one; it takes `cache_line_bytes_per_s` of the links when it goes to or from the cache. The lines of
    ranks, and of dies, carry the `rank_bytes_per_s` and `die_bytes_per_s` in turn, all instances counted on.
    """

    rows: tuple[Row, ...]
    num_prefill: int = 1
    token_budget: int = 4096
    prefill_blocks: int = 64
    pass_ns: int = 3_000
    token_ns: int = 11
    pairs_per_ns: int = 64
    cached_ns: int = 2
    num_decode: int = 1
    num_dies: int = 1
    blocks_per_die: int = 64
    slots_per_die: int = 16
    extent_blocks: int = 1
    fixed_ps: int = 1_700_333
    sequence_ps: int = 50_077
    kv_ps: int = 1_013
    num_ways: int = 1
    """Ways to run a step, of which the load at a change of membership picks one; see `way_of`."""
    step_tokens: tuple[int, int] = (1, 1)
    sampled: tuple[int, float, int] | None = None
    """Drafts of a step, the probability that one is right, and a key, where each sequence accepts its own number."""
    latency_ns: int = 700
    stream_bytes_per_s: int = 2_000_000_000
    num_streams: int = 2
    num_ranks: int = 1
    rank_bytes_per_s: tuple[int, ...] = (4_000_000_000,)
    die_bytes_per_s: tuple[int, ...] = (5_000_000_000,)
    prefill_bytes_per_s: int = 4_000_000_000
    """Of a prefill instance to the pool, and from it."""
    pool_bytes_per_s: int = 6_000_000_000
    ssd_bytes_per_s: int = 2_500_000_000
    cache_line_bytes_per_s: int = 3_000_000_000
    bytes_per_token: int = 16
    num_layers: int = 4
    prefill_policy: str = "round_robin"
    decode_policy: str = "round_robin"
    view_age_ns: int = 0
    num_routers: int = 1
    counts_sends: bool = False
    max_open_requests: int = 1_000_000
    entry: FlowControl = PLAIN_FLOW_CONTROL
    cache_mode: str = "none"
    cache_blocks: int = 0
    """DRAM of one cache server; `cache_ssd_blocks` its SSD, which a cache of an instance's own has too."""
    block_tokens: int = 64
    cache_servers: int = 1
    cache_ssd_blocks: int = 0
    cache_namespace_share: float = 1.0
    keeps_answers: bool = False
    parking: tuple[int, int, int] | None = None
    """Idle nanoseconds, spare instances and the time to wake, where instances are parked."""
    clients: tuple[Clients, ...] = ()
    """Who asks; times of rows are unused then. Without them rows come at their times, or when they are ready."""
    is_graph: bool = False
    """Whether rows wait for what they say."""
    num_aggregated: int = 0
    """Instances of both stages, behind the others of each; their dies are as those of decode instances."""
    step_budget: int = 256
    """Rows of one step of such an instance, of which a sequence takes `rows_per_sequence`."""
    rows_per_sequence: int = 1
    saved_ps: int = 300_007
    """What a step over both saves for each sequence and each eighth token, at most what the shorter part takes."""
    disaggregation: str = "always"
    """One of `always`, `never`, `prefix_threshold:tokens=N` and `queue:threshold=X`."""
    budget_w: int | None = None
    """The budget that each instance keeps, in the units of `throttled`; None if they keep none."""


def most_tokens(case: Case) -> int:
    """That one step may bring to a sequence."""
    if case.sampled is not None:
        return 1 + case.sampled[0]
    numerator, denominator = case.step_tokens
    return -(-numerator // denominator)


def rank_rate(case: Case, prefill: int, rank: int) -> int:
    """Bytes a second of the line of a rank of a prefill instance."""
    return case.rank_bytes_per_s[(prefill * case.num_ranks + rank) % len(case.rank_bytes_per_s)]


def die_rate(case: Case, decode: int, die: int) -> int:
    """Bytes a second of the line of a die of a decode instance."""
    return case.die_bytes_per_s[(decode * case.num_dies + die) % len(case.die_bytes_per_s)]


def mixed_ps(case: Case, decode_ps: int, prefill_ns: int, num_running: int, computed: int) -> int:
    """Picoseconds of a step over both whose parts alone last so long."""
    saved = case.saved_ps * (num_running + computed // 8)
    return max(decode_ps, 1000 * prefill_ns, decode_ps + 1000 * prefill_ns - saved)


def longest_blocks(case: Case) -> int:
    """KV blocks of the longest prompt, with what came of it, that all who compute prompts hold."""
    sizes = [case.prefill_blocks] * (case.num_prefill > 0) + [case.blocks_per_die] * (case.num_aggregated > 0)
    return min(sizes)


def way_of(case: Case, num_running: int, kv_tokens: int) -> int:
    """Which way a step runs; anything does that the load decides."""
    return (num_running + kv_tokens // 300) % case.num_ways


def lines_of(case: Case, way: int, num_running: int) -> list[tuple[int, int, int]]:
    """(constant, per sequence, per KV token) of each line of a way, picoseconds: of one way, what a die counts."""
    first = (case.fixed_ps, case.sequence_ps, case.kv_ps)
    if case.num_ways == 1:
        return [first]
    other = (case.fixed_ps + 3_001 * num_running, 2 * case.sequence_ps, case.kv_ps // 2)
    return [(case.fixed_ps + 997 * num_running, case.sequence_ps + 500 * way, case.kv_ps * (1 + way)), other][
        : 1 + way % 2
    ]


def waits_for(case: Case, row: int) -> list[int]:
    """The rows whose ends a row waits for."""
    if not case.is_graph:
        return []
    one = case.rows[row]
    if one.waits_for is not None:
        return list(one.waits_for)
    same = [other for other in range(row) if one.session != NEVER and case.rows[other].session == one.session]
    return same[-1:]


def delay_ns(case: Case, row: int) -> int:
    """How long after the last of these ends."""
    one = case.rows[row]
    if one.delay_ns is not None:
        return one.delay_ns
    return max(0, one.arrived_ns - max(case.rows[before].arrived_ns for before in waits_for(case, row)))


def group_of(case: Case, row: int) -> Clients | None:
    """Who asks for a row; None if that is nobody in particular."""
    for one in case.clients:
        if one.tenant is None or one.tenant == case.rows[row].tenant:
            return one
    return None


@dataclass
class Outcome:
    """What became of one request. `reason` is the name of a finish reason."""

    arrived_ns: int
    prefill_started_ns: int
    first_token_ns: int
    decode_started_ns: int
    last_token_ns: int
    ended_ns: int
    reason: str
    output_tokens: int
    cached_tokens: int
    num_preemptions: int
    prefill_instance: int
    decode_instance: int


@dataclass
class Result:
    """What a run of either simulation answers.

    `cached_blocks` are the (tenant, id) left in each cache, sorted; `busy_ns` and `joules` count over the whole run
    for each prefill, then each decode and each aggregated instance; `num_bytes` is all that has arrived by `end_ns`.
    """

    outcomes: list[Outcome]
    num_evictions: int
    cached_blocks: list[list[tuple[int, int]]]
    end_ns: int
    busy_ns: list[int]
    joules: list[int]
    num_bytes: int


BUSY_WATTS = 7
IDLE_WATTS = 3
PARKED_WATTS = 1
PASS_JOULES = 3
COMPUTED_JOULES = 11
PAIR_JOULES = 2
STEP_JOULES = 7
SEQUENCE_JOULES = 5
"""Made-up whole numbers, as if a nanosecond were a second, so that sums are exact. A token of KV read costs 1."""
