"""Generated requests: the statistics asked for, shared prefixes that hold together, and one seed one trace."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError, InputError, TraceError
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import BLOCK_ROWS
from scheduler.sources.synthetic.arrivals import ArrivalClock, draw_gaps, weibull_shape
from scheduler.sources.synthetic.generate import generate
from scheduler.sources.synthetic.workload import (
    ArrivalProcess,
    EmpiricalLengths,
    FieldError,
    IndependentRequests,
    Lengths,
    LogNormalLengths,
    Process,
    ServeGenRequests,
    SessionRequests,
    Workload,
)
from scheduler.sources.traces.describe import describe
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace, open_workload
from tests.unit.scheduler.sources.trace_rows import Request, read, requests_of

SECOND = 1_000_000_000
LENGTHS = LogNormalLengths(mean=600, cv=1.0, maximum=4000)


def independent(
    num_requests: int = 1000,
    arrivals: ArrivalProcess | None = None,
    prompt_tokens: Lengths = LENGTHS,
    output_tokens: Lengths = LENGTHS,
) -> Workload:
    requests = IndependentRequests(arrivals or ArrivalProcess(rate_per_s=10.0), prompt_tokens, output_tokens)
    return Workload("made", requests, num_requests)


def sessions(num_requests: int = 1000, **settings_given: float) -> Workload:
    given_or = {"mean_turns": 4.0, "max_turns": 20, "think_mean_s": 5.0, "system_tokens": 700, "system_groups": 3}
    requests = SessionRequests(ArrivalProcess(rate_per_s=2.0), LENGTHS, LENGTHS, **{**given_or, **settings_given})  # pyright: ignore[reportArgumentType]
    return Workload("made", requests, num_requests)


def generated(workload: Workload, seed: int = 0) -> list[Request]:
    return requests_of(generate(workload, seed)[1])


@pytest.mark.parametrize("make", [independent, sessions])
def test_one_seed_is_one_trace(make: Callable[[int], Workload]) -> None:
    requests = generated(make(3000), 7)
    assert len(requests) == 3000
    assert requests == generated(make(3000), 7)
    assert requests != generated(make(3000), 8)
    # A shorter trace is the beginning of a longer one.
    assert generated(make(500), 7) == requests[:500]


@pytest.mark.parametrize("make", [independent, sessions])
def test_times_begin_at_zero_and_never_fall(make: Callable[[int], Workload]) -> None:
    times = [request.arrived_ns for request in generated(make(3000))]
    assert times[0] == 0
    assert times == sorted(times)


def test_streams_do_not_disturb_each_other() -> None:
    plain = generated(independent())
    other = generated(independent(prompt_tokens=EmpiricalLengths((5, 9), (1.0, 1.0))))
    assert [request.arrived_ns for request in plain] == [request.arrived_ns for request in other]
    assert [request.output_tokens for request in plain] == [request.output_tokens for request in other]
    assert {request.prompt_tokens for request in other} == {5, 9}
    assert stream(1, "a").integers(2**60) != stream(1, "b").integers(2**60) != stream(2, "b").integers(2**60)


@pytest.mark.parametrize("cv", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("process", [Process.GAMMA, Process.WEIBULL])
def test_gaps_have_the_mean_and_the_variation_asked_for(process: Process, cv: float) -> None:
    gaps = draw_gaps(process, cv, stream(1, "gaps"), 400_000)
    assert gaps.mean() == pytest.approx(1.0, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_a_weibull_of_variation_one_is_exponential() -> None:
    assert weibull_shape(1.0) == pytest.approx(1.0)


def test_poisson_has_its_rate_and_no_memory() -> None:
    trace = open_workload(independent(200_000, ArrivalProcess(rate_per_s=800)), TraceOptions())
    arrivals = describe(trace).arrivals
    assert arrivals.mean_rate_per_s == pytest.approx(800, rel=0.01)
    assert arrivals.gap_cv == pytest.approx(1.0, rel=0.01)
    assert arrivals.dispersion[1] == pytest.approx(1.0, abs=0.3)


def test_a_diurnal_rate_swings_about_its_mean() -> None:
    process = ArrivalProcess(rate_per_s=100.0, diurnal_amplitude=0.8, diurnal_period_s=100.0)
    times_s = ArrivalClock(process, stream(3, "arrivals")).draw_ns(200_000) / 1e9
    counts, _ = np.histogram(times_s % 100.0, bins=20, range=(0.0, 100.0))
    rates = counts / counts.sum() * 20 * 100.0
    middles = (np.arange(20) + 0.5) * 5.0
    assert rates == pytest.approx(100 * (1 + 0.8 * np.sin(2 * np.pi * middles / 100.0)), rel=0.08)
    assert times_s[-1] == pytest.approx(2000, rel=0.02)


@given(mean=st.floats(1, 5000), cv=st.floats(0, 3), low=st.integers(1, 50), extra=st.integers(0, 5000))
@settings(max_examples=30)
def test_lengths_stay_in_their_bounds(mean: float, cv: float, low: int, extra: int) -> None:
    lengths = LogNormalLengths(mean, cv, low, low + extra)
    drawn = [request.prompt_tokens for request in generated(independent(200, prompt_tokens=lengths))]
    assert low <= min(drawn) <= max(drawn) <= low + extra


def test_empirical_lengths_follow_their_weights() -> None:
    lengths = EmpiricalLengths((3, 8, 700), (1.0, 0.0, 3.0))
    drawn = [request.output_tokens for request in generated(independent(20_000, output_tokens=lengths))]
    assert set(drawn) == {3, 700}
    assert drawn.count(700) / len(drawn) == pytest.approx(0.75, abs=0.02)


def test_equal_blocks_have_equal_prefixes_and_every_prefix_fits_its_prompt() -> None:
    parents: dict[int, int | None] = {}
    for request in generated(sessions(4000)):
        assert len(request.prefix) == -(-request.prompt_tokens // 512)
        for parent, block in pairwise((None, *request.prefix)):
            assert block is not None
            assert parents.setdefault(block, parent) == parent


def test_turns_extend_the_history_of_their_session() -> None:
    requests = generated(sessions(4000, system_tokens=1024))
    assert {request.prefix[:2] for request in requests} == {(0, 1), (2, 3), (4, 5)}
    by_session: dict[int, list[Request]] = {}
    for request in requests:
        whole = request.prefix[2 : request.prompt_tokens // 512]
        if whole:
            by_session.setdefault(whole[0], []).append(request)
    turns = [turn for turn in by_session.values() if len(turn) > 1]
    assert len(turns) > 300
    for session in turns:
        for before, after in pairwise(session):
            assert after.prompt_tokens > before.prompt_tokens + before.output_tokens
            whole = before.prompt_tokens // 512
            assert after.prefix[:whole] == before.prefix[:whole]
            assert after.arrived_ns - before.arrived_ns >= 0.03e9 * before.output_tokens - 1


def test_sessions_end_before_their_prompts_grow_too_long() -> None:
    requests = generated(sessions(3000, max_prompt_tokens=5000, mean_turns=15.0))
    assert 4000 < max(request.prompt_tokens for request in requests) <= 5000


def test_sessions_without_think_time_or_second_turn_are_independent_requests() -> None:
    requests = generated(sessions(500, mean_turns=1.0, think_mean_s=0.0, system_tokens=0))
    blocks = [block for request in requests for block in request.prefix]
    assert len(blocks) == len(set(blocks))


@pytest.mark.parametrize("make", [independent, sessions])
def test_generation_streams(make: Callable[[int], Workload]) -> None:
    blocks = generate(make(10**9), 0)[1]
    sizes = [len(block) for block in islice(blocks, 30)]
    assert max(sizes) <= BLOCK_ROWS
    tracemalloc.start()
    num_rows = sum(len(block) for block in islice(blocks, 40))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_rows > 20_000
    assert peak_bytes < 6 * 2**20


def test_a_workload_is_shaped_like_any_trace() -> None:
    options = TraceOptions(limit=100, superpose=3, rate_scale=2.0, seed=4)
    trace = open_workload(independent(1000), options)
    assert trace.num_requests_hint == 300
    requests = requests_of(trace.blocks)
    assert len(requests) == 300
    assert {request.tenant for request in requests} == {0, 1, 2}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: ArrivalProcess(rate_per_s=0), "rate_per_s"),
        (lambda: ArrivalProcess(rate_per_s=float("nan")), "rate_per_s"),
        (lambda: ArrivalProcess(rate_per_s=1, cv=2), "cv"),
        (lambda: ArrivalProcess(rate_per_s=1, process=Process.GAMMA, cv=99), "cv"),
        (lambda: ArrivalProcess(rate_per_s=1, diurnal_amplitude=1.5), "diurnal_amplitude"),
        (lambda: LogNormalLengths(mean=0, cv=1), "mean"),
        (lambda: LogNormalLengths(mean=5, cv=1, minimum=9, maximum=8), "maximum"),
        (lambda: EmpiricalLengths((), ()), "values"),
        (lambda: EmpiricalLengths((0,), (1.0,)), "values"),
        (lambda: EmpiricalLengths((1,), (0.0,)), "weights"),
        (lambda: sessions(max_prompt_tokens=4000), "max_prompt_tokens"),
        (lambda: sessions(mean_turns=21), "mean_turns"),
        (lambda: sessions(system_groups=2**20, system_tokens=2000), "system_groups"),
        (lambda: independent(0), "num_requests"),
        (lambda: Workload("made", independent().requests), "num_requests"),
    ],
)
def test_values_out_of_range_are_named(make: Callable[[], object], field: str) -> None:
    with pytest.raises(FieldError, match=f"^{field} .*; ") as caught:
        make()
    assert caught.value.field == field


def servegen_folder(
    folder: Path, windows: str = "0,0.5,1,Gamma,1,2\n600,0,0,,0,0\n1200,0.25,2,Weibull,0.5,2\n", dataset: object = None
) -> Path:
    """One ServeGen client of three windows."""
    folder.mkdir(exist_ok=True)
    (folder / "chunk-3-trace.csv").write_text(windows)
    histograms = {"input_tokens": "{10: 0.25, 0: 0.75}", "output_tokens": "{7: 1.0}", "reason_ratio": "{}"}
    default = {"0": histograms, "1200": {"input_tokens": "{}", "output_tokens": "{}", "reason_ratio": "{}"}}
    text = dataset if isinstance(dataset, str) else json.dumps(dataset or default)
    (folder / "chunk-3-dataset.json").write_text(text)
    return folder


def test_servegen_windows_are_filled_at_their_rate(tmp_path: Path) -> None:
    requests = read(servegen_folder(tmp_path / "pool"))
    assert len(requests) == 300 + 150
    assert {request.output_tokens for request in requests} == {7}
    assert {request.prompt_tokens for request in requests} == {1, 10}
    first = requests[0].arrived_ns
    idle = [request for request in requests if 600 * SECOND <= request.arrived_ns + first < 1190 * SECOND]
    assert not idle


def test_servegen_is_cut_and_scaled_to_what_is_asked(tmp_path: Path) -> None:
    pool = str(servegen_folder(tmp_path / "pool"))
    wanted = ServeGenRequests(pool, start_s=300.0, duration_s=1200.0, rate_per_s=4.0)
    trace = open_workload(Workload("pool", wanted), TraceOptions())
    requests = requests_of(trace.blocks)
    assert trace.num_requests_hint == 4800
    assert len(requests) == pytest.approx(4800, rel=0.1)
    assert requests[-1].arrived_ns < 1200 * SECOND
    with pytest.raises(ConfigError, match=r"no client sends anything in this time; give another start_s"):
        open_workload(Workload("pool", ServeGenRequests(pool, start_s=5000.0)), TraceOptions())


def test_a_servegen_client_draws_the_same_whoever_else_is_there(tmp_path: Path) -> None:
    pool = servegen_folder(tmp_path / "pool")
    alone = read(pool)
    (pool / "chunk-10-trace.csv").write_text("0,0,0,,0,0\n600,0.5,1,Gamma,2,1\n")
    (pool / "chunk-10-dataset.json").write_text('{"0": {"input_tokens": "{99: 1}", "output_tokens": "{9: 1}"}}')
    together = [request for request in read(pool) if request.output_tokens == 7]
    assert together == alone


@pytest.mark.parametrize(
    ("windows", "dataset", "problem"),
    [
        ("0,0.5,1,Gamma,1\n", None, "chunk-3-trace.csv:1: the row has 5 cells; give 6: window start"),
        ("0,x,1,Gamma,1,2\n", None, "chunk-3-trace.csv:1: rate: 'x' is no number"),
        ("0,-1,1,Gamma,1,2\n", None, "chunk-3-trace.csv:1: rate: '-1' is no number"),
        ("0,1,1,Pareto,1,2\n", None, "chunk-3-trace.csv:1: pattern: 'Pareto' is not known; give Gamma or Weibull"),
        ("0,1,1,Gamma,0,2\n", None, "chunk-3-trace.csv:1: shape: 0 is not above 0"),
        (
            "0,1,1,Gamma,1,2\n600,0,0,,0,0\n600,0,0,,0,0\n",
            None,
            "chunk-3-trace.csv:3: window start: 600 is not one step",
        ),
        ("0,1,1,Gamma,1,2\n", "{", "chunk-3-dataset.json: not JSON"),
        ("0,1,1,Gamma,1,2\n", "[]", "chunk-3-dataset.json: not a JSON object"),
        ("0,1,1,Gamma,1,2\n", "{}", "chunk-3-dataset.json: no window has lengths"),
        ("0,1,1,Gamma,1,2\n", {"x": {}}, "'x': is not a window start"),
        ("0,1,1,Gamma,1,2\n", {"0": {}}, "0.input_tokens: is missing; give a language, reasoning or multimodal pool"),
        (
            "0,1,1,Gamma,1,2\n",
            {"0": {"input_tokens": "print(1)", "output_tokens": ""}},
            "0.input_tokens: 'print(1)' is not",
        ),
        ("0,1,1,Gamma,1,2\n", {"0": {"input_tokens": 5, "output_tokens": ""}}, "0.input_tokens: 5 is not a dict"),
        ("0,1,1,Gamma,1,2\n", {"0": {"input_tokens": "[1]", "output_tokens": ""}}, "0.input_tokens: [1] is not a dict"),
        ("0,1,1,Gamma,1,2\n", {"0": {"input_tokens": "{1.5: 1}", "output_tokens": "{}"}}, "1.5 is not a count"),
        ("0,1,1,Gamma,1,2\n", {"0": {"input_tokens": "{1: -1}", "output_tokens": "{}"}}, "-1 is no probability"),
    ],
)
def test_bad_servegen_data_names_its_place(tmp_path: Path, windows: str, dataset: object, problem: str) -> None:
    folder = servegen_folder(tmp_path / "pool", windows, dataset)
    with pytest.raises(InputError) as caught:
        read(folder)
    message = str(caught.value)
    assert problem in message
    assert message.startswith(str(folder))
    assert "\n" not in message


def test_servegen_clients_of_two_pools_do_not_mix(tmp_path: Path) -> None:
    pool = servegen_folder(tmp_path / "pool")
    (pool / "chunk-4-trace.csv").write_text("0,0,0,,0,0\n300,0,0,,0,0\n")
    with pytest.raises(TraceError, match="windows of 300 s, elsewhere of 600 s"):
        read(pool)


def test_published_servegen_clients_run(real_trace: Callable[[str], Path]) -> None:
    trace = open_trace(str(real_trace("servegen_deepseek-r1")), options=TraceOptions())
    requests = requests_of(trace.blocks)
    # Published rates sum to 33,709 requests in a day.
    assert trace.num_requests_hint == 33_709
    assert len(requests) == pytest.approx(33_709, abs=60)
    assert max(request.output_tokens for request in requests) <= 18_608


def test_the_azure_preset_has_the_published_means(real_trace: Callable[[str], Path], examples: Path) -> None:
    published = describe(open_trace(str(real_trace("azure2023_conv.csv")), options=TraceOptions()))
    example = examples / "azure_conversation_million.yaml"
    made = describe(open_trace(str(example), options=TraceOptions(limit=200_000)))
    for ours, theirs in ((made.prompt_tokens, published.prompt_tokens), (made.output_tokens, published.output_tokens)):
        assert ours.mean == pytest.approx(theirs.mean, rel=0.01)
        assert ours.max == theirs.max
