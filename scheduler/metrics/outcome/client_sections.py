"""What a client sees of a run, as sections of a page: of a replay through its eyes these are all, of any other some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from scheduler.metrics.outcome.cells import NOTHING, count_cell, digits, percent_cell, rate_cell, seconds_cell, si_cell
from scheduler.metrics.outcome.sections import Section
from scheduler.metrics.subjects.clients import ClientUse, GroupUse

if TYPE_CHECKING:
    from scheduler.metrics.distribution import Distribution
    from scheduler.metrics.subjects.clock import WarmupUse
    from scheduler.metrics.subjects.requests import RequestCounts
    from scheduler.metrics.subjects.sessions import SessionUse
    from scheduler.metrics.subjects.slo import ClassUse, SloResult
    from scheduler.metrics.subjects.tokens import Throughput, TokenUse


class Seen(Protocol):
    """The fields of a summary that a client can know; of `queue_s` and `preemptions` it knows nothing."""

    @property
    def requests(self) -> RequestCounts: ...
    @property
    def finish_reasons(self) -> Mapping[str, int]: ...
    @property
    def finish_limits(self) -> Mapping[str, str]: ...
    @property
    def ttft_s(self) -> Distribution: ...
    @property
    def tpot_s(self) -> Distribution: ...
    @property
    def itl_s(self) -> Distribution: ...
    @property
    def e2e_s(self) -> Distribution: ...
    @property
    def queue_s(self) -> Distribution | None: ...
    @property
    def throughput(self) -> Throughput: ...
    @property
    def slo(self) -> SloResult | None: ...
    @property
    def classes(self) -> Mapping[str, ClassUse]: ...
    @property
    def clients(self) -> GroupUse | None: ...
    @property
    def sessions(self) -> SessionUse | None: ...
    @property
    def warmup(self) -> WarmupUse | None: ...
    @property
    def preemptions(self) -> int | None: ...
    @property
    def simulated_s(self) -> float: ...
    @property
    def wall_s(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def config_digest(self) -> str: ...
    @property
    def tokens(self) -> TokenUse: ...


def outcome_sections(seen: Seen) -> list[Section]:
    """What became of requests, and how fast."""
    requests, throughput, sessions = seen.requests, seen.throughput, seen.sessions
    latencies = (
        ("TTFT", seen.ttft_s),
        ("TPOT", seen.tpot_s),
        ("ITL", seen.itl_s),
        ("E2E", seen.e2e_s),
        *([] if seen.queue_s is None else [("Queue", seen.queue_s)]),
        *([("Session", sessions.e2e_s)] if sessions is not None and sessions.count else []),
    )
    counts = {
        "arrived": requests.arrived,
        "finished": requests.finished,
        "rejected": requests.rejected,
        "failed": requests.failed,
    }
    if seen.preemptions is not None:
        counts["preempted"] = seen.preemptions
    if requests.retried:
        counts["retried"] = requests.retried
    rates = (throughput.requests_per_s, throughput.input_tokens_per_s, throughput.output_tokens_per_s)
    return [
        Section("Requests", tuple(counts), (("", *map(count_cell, counts.values())),)),
        _ends_section(seen),
        Section(
            "Latency",
            ("mean", "p50", "p90", "p95", "p99", "max"),
            tuple((label, *_latency_cells(distribution)) for label, distribution in latencies),
        ),
        Section("Throughput", ("requests/s", "input tok/s", "output tok/s"), (("", *map(rate_cell, rates)),)),
        *_client_sections(seen),
        _wasted_section(seen),
    ]


def cache_section(hit_tokens: int, lookup_tokens: int) -> Section:
    """What of prompts came from a prefix cache; nothing without one."""
    share = hit_tokens / lookup_tokens if lookup_tokens else None
    cells = (percent_cell(share), si_cell(hit_tokens, "tok"), si_cell(lookup_tokens, "tok"))
    return Section("Cache", ("hit rate", "hit", "looked up"), (("", *cells),) if lookup_tokens else ())


def limit_sections(seen: Seen) -> list[Section]:
    """How many kept their limits, of all and of each class; nothing without limits."""
    found: list[Section] = []
    if seen.slo is not None:
        goodput = rate_cell(seen.slo.goodput_requests_per_s)
        found.append(Section("SLO", ("attained", "requests/s"), (("", percent_cell(seen.slo.attainment), goodput),)))
    return [*found, *_class_sections(seen)]


def footer(seen: Seen) -> str:
    """Emulated and wall time, and what it takes to have the run again."""
    pace = f" ({digits(seen.simulated_s / seen.wall_s)}x)" if seen.wall_s else ""
    times = f"{seconds_cell(seen.simulated_s)} simulated in {seconds_cell(seen.wall_s)}{pace}"
    warmup = seen.warmup
    left_out = "" if warmup is None else f"{_warmup_line(warmup)}\n"
    return f"{left_out}{times}, seed {seen.seed}, config {seen.config_digest}"


def _client_sections(seen: Seen) -> list[Section]:
    """What clients kept in flight, and what became of sessions, in a run that has any."""
    found: list[Section] = []
    if (clients := seen.clients) is not None:
        groups = {"": clients, **(clients.by_class if isinstance(clients, ClientUse) else {})}
        columns = ("clients", "in flight", "peak", "requests/s", "rate x E2E", "off by")
        rows = tuple((name, *_client_cells(use)) for name, use in groups.items())
        found.append(Section("Clients", columns, rows))
    if (sessions := seen.sessions) is not None and sessions.count:
        counts = (sessions.count, sessions.completed, sessions.turns, sessions.abandoned_turns)
        found.append(
            Section("Sessions", ("begun", "completed", "turns", "abandoned"), (("", *map(count_cell, counts)),))
        )
    return found


def _client_cells(use: GroupUse) -> tuple[str, ...]:
    bound = NOTHING if use.concurrency is None else count_cell(use.concurrency)
    off = use.little.difference
    return (
        bound,
        rate_cell(use.in_flight_mean),
        count_cell(use.in_flight_peak),
        rate_cell(use.achieved_requests_per_s),
        rate_cell(use.little.in_flight),
        NOTHING if off is None else f"{100 * off:+.2f} %",
    )


def _wasted_section(seen: Seen) -> Section:
    """Tokens of requests that did not finish, if there are any; the rates above and all ratios count them."""
    tokens = seen.tokens
    share = tokens.wasted_output / tokens.output if tokens.output else None
    cells = si_cell(tokens.wasted_prompt, "tok"), si_cell(tokens.wasted_output, "tok"), percent_cell(share)
    has_any = tokens.wasted_prompt or tokens.wasted_output
    return Section("Wasted", ("prompt", "output", "of output"), (("", *cells),) if has_any else ())


def _ends_section(seen: Seen) -> Section:
    """Each reason with the limit behind it; nothing if all requests ended in one way and that was to finish."""
    reasons = {name: count for name, count in seen.finish_reasons.items() if count}
    says_nothing = len(reasons) < 2 and seen.requests.finished == seen.requests.arrived
    rows = () if says_nothing else tuple((name, count_cell(count)) for name, count in reasons.items())
    return Section("Ended by", ("requests",), rows, tuple(seen.finish_limits.get(name, "") for name, *_ in rows))


def _class_sections(seen: Seen) -> list[Section]:
    """A row for each class that any request belongs to."""
    rows = [
        (
            name,
            count_cell(use.requests.arrived),
            count_cell(use.requests.rejected + use.requests.failed),
            seconds_cell(use.ttft_s.p50),
            seconds_cell(use.ttft_s.p99),
            seconds_cell(use.tpot_s.p99),
            percent_cell(use.slo.attainment),
            rate_cell(use.slo.goodput_requests_per_s),
        )
        for name, use in seen.classes.items()
        if use.requests.arrived
    ]
    columns = ("arrived", "not served", "TTFT p50", "TTFT p99", "TPOT p99", "attained", "requests/s")
    return [Section("Classes", columns, tuple(rows))]


def _latency_cells(values: Distribution) -> tuple[str, ...]:
    return tuple(map(seconds_cell, (values.mean, values.p50, values.p90, values.p95, values.p99, values.max)))


def _warmup_line(warmup: WarmupUse) -> str:
    return (
        f"figures without the warm-up: {count_cell(warmup.requests)} requests, the first {seconds_cell(warmup.ended_s)}"
    )
