"""Random small systems for Hypothesis, in profiles that press on one thing each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import Phase
from hypothesis import strategies as st

from scheduler.core.guests.deferred import DAY_NS
from scheduler.policies import ROUTING
from scheduler.policies.flow_control import ClassRules, FlowControl
from scheduler.policies.waiting import NO_LIMIT_NS
from tests.naive.case import Case, Row

QUICK_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink)
"""All but explaining, which takes longer on a whole system than a test may."""

POLICIES = ("round_robin", "least_loaded", "cloudmatrix")
"""Those that the naive simulation knows."""

ALL_POLICIES = (*ROUTING, "dynamo_kv:temperature=0.5", "xllm_car:integer_division=true", "rogue")
"""All there are, and one that fails."""

ADMISSION_SPECS = (
    "token_bucket:tokens_per_s=3e6,burst_tokens=300",
    "slo_early_reject:slack=0.5",
    "shedding:queue_threshold=0.5",
)
ORDER_SPECS = ("edf", "shortest", "shortest:ageing_tokens_per_s=1e7", "priority", "fair", "fair:output_weight=0")

STEP_TOKENS = ((1, 1), (17, 10), (3, 2))
WIDE_STEP_TOKENS = (*STEP_TOKENS, (7, 2), (40, 1))

ARRIVALS = st.one_of(st.integers(0, 60_000), st.sampled_from([0, 0, 5_000, 20_000]))
NEAR_BLOCK = st.sampled_from([1, 2, *(128 * blocks + off for blocks in range(1, 5) for off in range(-3, 4))])
PROMPTS = st.one_of(st.integers(1, 400), NEAR_BLOCK)
SHORT_OUTPUTS = st.one_of(st.just(1), st.integers(1, 40))
LONG_OUTPUTS = st.one_of(st.just(1), st.integers(1, 400))


@st.composite
def rows(
    draw: st.DrawFn,
    prompts: st.SearchStrategy[int] = PROMPTS,
    outputs: st.SearchStrategy[int] = SHORT_OUTPUTS,
    arrivals: st.SearchStrategy[int] = ARRIVALS,
    least: int = 1,
    most: int = 10,
) -> tuple[Row, ...]:
    """Requests in order of arrival."""
    drawn = draw(st.lists(st.tuples(arrivals, prompts, outputs), min_size=least, max_size=most))
    return tuple(Row(*row) for row in sorted(drawn, key=lambda row: row[0]))


def _policies() -> dict[str, st.SearchStrategy[str]]:
    return {"prefill_policy": st.sampled_from(POLICIES), "decode_policy": st.sampled_from(POLICIES)}


def mixed_cases() -> st.SearchStrategy[Case]:
    """A little of everything: chunks, instances, dies, slots, extents, uneven step times."""
    return st.builds(
        Case,
        rows(),
        num_prefill=st.integers(1, 3),
        token_budget=st.sampled_from([50, 128, 300, 4096]),
        prefill_blocks=st.sampled_from([5, 7, 64]),
        num_decode=st.integers(1, 3),
        num_dies=st.integers(1, 3),
        blocks_per_die=st.sampled_from([3, 5, 5, 6]),
        slots_per_die=st.integers(1, 4),
        extent_blocks=st.integers(1, 3),
        sequence_ps=st.sampled_from([0, 50_077, 900_001]),
        kv_ps=st.sampled_from([0, 1, 1_013, 20_011]),
        num_ways=st.sampled_from([1, 1, 2, 3]),
        step_tokens=st.sampled_from(STEP_TOKENS),
        bytes_per_token=st.sampled_from([0, 16, 160]),
        num_layers=st.sampled_from([1, 2, 4]),
        max_open_requests=st.sampled_from([2, 5, 100, 1_000, 1_000_000]),
        **_policies(),
    )


def grid_cases(fixed_ps: int | None = None) -> st.SearchStrategy[Case]:
    """Everything lasts a whole number of microseconds, so that much falls on one instant; or steps half a ns."""
    return st.builds(
        Case,
        rows(arrivals=st.integers(0, 20).map(lambda us: 1_000 * us), most=12),
        num_prefill=st.integers(1, 3),
        token_budget=st.sampled_from([128, 4096]),
        prefill_blocks=st.sampled_from([3, 5, 8, 64]),
        pass_ns=st.sampled_from([1_000, 3_000]),
        token_ns=st.just(0),
        pairs_per_ns=st.just(10**12),
        cached_ns=st.just(0),
        num_decode=st.integers(1, 2),
        num_dies=st.integers(1, 2),
        blocks_per_die=st.integers(3, 8),
        slots_per_die=st.integers(1, 3),
        fixed_ps=st.sampled_from([500, 1_000_000] if fixed_ps is None else [fixed_ps]),
        sequence_ps=st.just(0),
        kv_ps=st.just(0),
        step_tokens=st.sampled_from(STEP_TOKENS),
        latency_ns=st.sampled_from([0, 900, 1_000]),
        bytes_per_token=st.just(0),
        **_policies(),
    )


def preempting_cases() -> st.SearchStrategy[Case]:
    """Long outputs on dies that cannot hold them all."""
    return st.builds(
        Case,
        rows(
            prompts=st.one_of(st.integers(1, 130), st.integers(1, 250)),
            outputs=st.one_of(st.integers(100, 500), LONG_OUTPUTS),
            arrivals=st.integers(0, 9_000),
            least=3,
            most=8,
        ),
        num_prefill=st.integers(1, 2),
        token_budget=st.sampled_from([100, 300, 4096]),
        prefill_blocks=st.sampled_from([3, 5, 8, 64]),
        num_decode=st.sampled_from([1, 1, 2]),
        num_dies=st.sampled_from([1, 1, 2]),
        blocks_per_die=st.integers(4, 8),
        slots_per_die=st.sampled_from([2, 3, 8]),
        extent_blocks=st.integers(1, 2),
        kv_ps=st.sampled_from([0, 1_013]),
        num_ways=st.sampled_from([1, 1, 2, 3]),
        step_tokens=st.sampled_from(WIDE_STEP_TOKENS),
        **_policies(),
    )


def _brimming_rows(blocks: int) -> st.SearchStrategy[tuple[Row, ...]]:
    """Prompt and output together fill so many blocks but for a few tokens, or a few too many."""

    def fill(prompt_tokens: int, rest: int) -> tuple[Row, ...]:
        return (Row(0, prompt_tokens, max(1, 128 * blocks - prompt_tokens + rest)),)

    return st.builds(fill, st.integers(1, 128 * blocks - 1), st.integers(-4, 6))


def crossing_cases() -> st.SearchStrategy[Case]:
    """Dies that run few long sequences beside many short ones: which is the slowest changes within a run of steps."""
    return st.builds(
        Case,
        rows(
            prompts=st.one_of(st.integers(1, 60), st.integers(60, 900)),
            outputs=st.integers(50, 250),
            arrivals=st.integers(0, 30_000),
            least=2,
            most=8,
        ),
        num_dies=st.integers(2, 4),
        blocks_per_die=st.sampled_from([9, 12, 64]),
        slots_per_die=st.sampled_from([2, 3, 8]),
        extent_blocks=st.integers(1, 2),
        sequence_ps=st.sampled_from([0, 0, 50_077]),
        kv_ps=st.sampled_from([1, 1_013, 20_011]),
        num_ways=st.sampled_from([1, 1, 2, 3]),
        step_tokens=st.sampled_from(STEP_TOKENS),
        decode_policy=st.sampled_from(POLICIES),
    )


def single_cases() -> st.SearchStrategy[Case]:
    """Memory for one request at a time, on both sides."""
    return st.integers(1, 4).flatmap(
        lambda blocks: st.builds(
            Case,
            st.one_of(rows(prompts=st.integers(1, 128 * blocks), outputs=LONG_OUTPUTS, most=5), _brimming_rows(blocks)),
            prefill_blocks=st.just(blocks),
            num_decode=st.sampled_from([1, 1, 2]),
            blocks_per_die=st.just(blocks),
            slots_per_die=st.integers(1, 2),
            extent_blocks=st.integers(1, blocks),
            token_budget=st.sampled_from([64, 4096]),
            step_tokens=st.sampled_from(WIDE_STEP_TOKENS),
        )
    )


def _block_id(group: int, shared: int, own: int, position: int) -> int:
    """Equal ids only for blocks that have equal ids before them: `shared` blocks of a group's, then one's own."""
    if position < shared:
        return (group * 64 + 63) * 256 + position
    return ((own * 4 + group) * 64 + shared) * 256 + position


@st.composite
def cached_cases(draw: st.DrawFn, bases: st.SearchStrategy[Case]) -> Case:
    """The same with a cache, mostly too small, and prompts that share beginnings."""
    base = draw(bases)
    block_tokens = draw(st.sampled_from([16, 50, 128]))
    with_prefixes: list[Row] = []
    for row in base.rows:
        num_blocks = draw(st.sampled_from([1, 1, 1, 0])) * -(-row.prompt_tokens // block_tokens)
        group, own = draw(st.integers(0, 1)), draw(st.integers(1, 3))
        shared = draw(st.integers(0, num_blocks))
        prefix = tuple(_block_id(group, shared, own, position) for position in range(num_blocks))
        with_prefixes.append(replace(row, prefix=prefix, tenant=draw(st.sampled_from([0, 0, 1]))))
    return replace(
        base,
        rows=tuple(with_prefixes),
        cache_mode=draw(st.sampled_from(["pool", "local"])),
        cache_blocks=draw(st.one_of(st.integers(0, 12), st.integers(0, 60))),
        block_tokens=block_tokens,
        cache_servers=draw(st.sampled_from([1, 1, 2, 5])),
        cache_ssd_blocks=draw(st.sampled_from([0, 0, 3, 30])),
        cache_namespace_share=draw(st.sampled_from([1.0, 1.0, 0.5])),
        cached_ns=draw(st.sampled_from([0, 2])),
    )


@st.composite
def waiting_cases(draw: st.DrawFn) -> Case:
    """Prompts that wait for many passes, while those before them store what they share."""
    case = draw(
        cached_cases(
            st.builds(
                Case,
                rows(
                    prompts=st.integers(100, 900),
                    arrivals=st.one_of(st.integers(0, 4_000), st.sampled_from([0, 1_000])),
                    most=10,
                ),
                num_prefill=st.integers(1, 2),
                token_budget=st.sampled_from([100, 256, 700]),
                prefill_blocks=st.sampled_from([12, 64]),
                pass_ns=st.sampled_from([100, 3_000, 60_000]),
                stream_bytes_per_s=st.sampled_from([50_000_000, 2_000_000_000]),
                bytes_per_token=st.sampled_from([1, 16]),
            )
        )
    )
    return replace(case, cache_mode="pool", cache_blocks=draw(st.integers(4, 60)))


_ANSWER_IDS = 10**7
"""From here on blocks of answers are numbered, far from those of prompts."""


@st.composite
def answering_cases(draw: st.DrawFn) -> Case:
    """Prompts that repeat an earlier prompt with all or part of its answer, where answers are kept."""
    case = draw(cached_cases(st.one_of(mixed_cases(), preempting_cases())))
    rows_so_far: list[Row] = []
    for number, row in enumerate(case.rows):
        before = [other for other in rows_so_far if other.prefix]
        first = _ANSWER_IDS * (number + 1)
        if before and row.prefix:
            turn = draw(st.sampled_from(before))
            row = replace(row, tenant=turn.tenant, prefix=_next_prompt(case, turn, row.prompt_tokens, first - 1))
        rows_so_far.append(replace(row, answer=draw(st.sampled_from([first, first, None]))))
    return replace(case, rows=tuple(rows_so_far), keeps_answers=True, cache_blocks=draw(st.integers(4, 80)))


def _next_prompt(case: Case, turn: Row, prompt_tokens: int, last_id: int) -> tuple[int, ...]:
    """As many blocks of the earlier prompt and its answer as the prompt has; a partial block is its own."""
    num_whole = prompt_tokens // case.block_tokens
    kept = turn.prefix[: turn.prompt_tokens // case.block_tokens]
    answer = () if turn.answer is None else tuple(range(turn.answer, turn.answer + num_whole))
    ids = [*kept, *answer][:num_whole]
    own = range(last_id - num_whole, last_id + 1)
    return (*ids, *list(own)[: -(-prompt_tokens // case.block_tokens) - len(ids)])


def contended_cases() -> st.SearchStrategy[Case]:
    """Many flows at once over links that cannot bear them, at rates that divide nothing."""
    narrow = st.sampled_from([70_000_001, 333_333_333, 1_000_000_000, 2_000_000_000])
    bases = st.builds(
        Case,
        rows(
            prompts=st.one_of(st.integers(1, 400), st.integers(200, 3_000)),
            arrivals=st.one_of(st.integers(0, 15_000), st.sampled_from([0, 5_000])),
            most=12,
        ),
        num_prefill=st.integers(1, 4),
        token_budget=st.sampled_from([128, 4096]),
        pass_ns=st.sampled_from([100, 3_000]),
        num_decode=st.integers(1, 3),
        num_dies=st.integers(1, 3),
        bytes_per_token=st.sampled_from([1, 16, 77]),
        num_layers=st.sampled_from([1, 3, 61]),
        stream_bytes_per_s=st.sampled_from([1_000_000_000, 999_999_937]),
        num_streams=st.integers(1, 3),
        num_ranks=st.integers(1, 4),
        rank_bytes_per_s=st.lists(narrow, min_size=1, max_size=3).map(tuple),
        die_bytes_per_s=st.lists(narrow, min_size=1, max_size=3).map(tuple),
        prefill_bytes_per_s=narrow,
        pool_bytes_per_s=narrow,
        **_policies(),
    )
    return st.one_of(bases, cached_cases(bases))


def any_cases() -> st.SearchStrategy[Case]:
    """One of the profiles, with a cache or without."""
    plain = st.one_of(mixed_cases(), grid_cases(), preempting_cases(), single_cases(), crossing_cases())
    return st.one_of(plain, cached_cases(plain), contended_cases())


@st.composite
def entries(draw: st.DrawFn) -> FlowControl:
    """Any admission, order, bound on the backlog, limits and time-out, alone and together."""
    admission = draw(st.sampled_from([*["always"] * 3, *ADMISSION_SPECS]))
    order = draw(st.sampled_from(["fcfs", *ORDER_SPECS]))
    backlog_tokens = draw(st.sampled_from([0, 1, 100, 500]))
    limits = st.sampled_from([NO_LIMIT_NS, 8_000, 40_000, 1])
    timeout_ns = draw(st.one_of(st.just(0), st.integers(1, 150_000), st.sampled_from([1, 5_000, 20_000])))
    rules = FlowControl(admission, order, backlog_tokens, draw(limits), draw(limits), timeout_ns)
    if draw(st.booleans()):
        return rules
    times_ns = st.sampled_from([0, 0, 1, 5_000, 20_000, 100_000])
    of_class = st.builds(ClassRules, limits, limits, times_ns, st.integers(-2, 2), times_ns)
    # It is cheap after a while, or not for the rest of the day.
    cheap = draw(st.sampled_from([(), ((2_000, 9_000), (30_000, DAY_NS)), ((0, 1),)]))
    return replace(rules, classes=tuple(draw(st.lists(of_class, min_size=1, max_size=2))), cheap_hours=cheap)


@st.composite
def with_any_policy(draw: st.DrawFn, cases: st.SearchStrategy[Case]) -> Case:
    """The same under any policies, which may see what was."""
    return replace(
        draw(cases),
        prefill_policy=draw(st.sampled_from(ALL_POLICIES)),
        decode_policy=draw(st.sampled_from(ALL_POLICIES)),
        view_age_ns=draw(st.sampled_from([0, 0, 3_000, 50_000])),
        num_routers=draw(st.sampled_from([1, 1, 2, 3])),
        counts_sends=draw(st.booleans()),
    )


@st.composite
def parking_cases(draw: st.DrawFn, plain: st.SearchStrategy[Case]) -> Case:
    """Cases of several instances that are parked when they have been idle, now and then a long while apart."""
    case = draw(plain)
    gap_ns = draw(st.sampled_from([0, 3_000, 50_000]))
    rows = tuple(replace(row, arrived_ns=row.arrived_ns + gap_ns * index) for index, row in enumerate(case.rows))
    # Who still holds KV refuses and is asked again. Were it asked each nanosecond, two in turn, then which of them is
    # asked at the one at which both are empty would hang on the order of messages within it, which is no rule.
    idle_ns = draw(st.sampled_from([97, 900, 4_000, 30_000]))
    parking = idle_ns, draw(st.integers(1, 2)), draw(st.sampled_from([1, 2_500]))
    num_prefill, num_decode = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return replace(case, rows=rows, num_prefill=num_prefill, num_decode=num_decode, parking=parking)


@st.composite
def aggregated_cases(draw: st.DrawFn, plain: st.SearchStrategy[Case]) -> Case:
    """Instances of both stages, alone or beside others, under any rule that splits prompts between them."""
    case = draw(plain)
    rules = "always", "never", "prefix_threshold:tokens=200", "queue:threshold=0.5"
    return replace(
        case,
        num_prefill=draw(st.sampled_from([0, 0, 1, 2])),
        num_decode=draw(st.sampled_from([0, 0, 1, 2])),
        num_aggregated=draw(st.integers(1, 3)),
        step_budget=draw(st.sampled_from([11, 32, 64, 200, 4096])),
        rows_per_sequence=draw(st.sampled_from([1, 2])),
        saved_ps=draw(st.sampled_from([0, 300_007, 10**10])),
        disaggregation=draw(st.sampled_from(rules)),
    )


@st.composite
def sampled_cases(draw: st.DrawFn, plain: st.SearchStrategy[Case]) -> Case:
    """Each sequence accepts its own number of drafts, from none to all."""
    acceptance = draw(st.sampled_from([0.0, 0.3, 0.7, 0.7, 0.95, 1.0]))
    key = draw(st.one_of(st.integers(0, 9), st.just(2**64 - 1)))
    return replace(draw(plain), sampled=(draw(st.integers(1, 4)), acceptance, key))


@st.composite
def throttled_cases(draw: st.DrawFn, plain: st.SearchStrategy[Case]) -> Case:
    """Every instance keeps a budget, from one that hardly ever binds to one that not even the last level keeps."""
    return replace(draw(plain), budget_w=draw(st.sampled_from([5, 20, 60, 150, 400, 1_000])))
