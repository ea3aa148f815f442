"""What can be asked of the generator: frozen values that check themselves.

Workload
+-- IndependentRequests      arrivals, prompt and output lengths
+-- SessionRequests          the same for conversations of several turns with shared prefixes
+-- ServeGenRequests         a folder of published per-client statistics
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.rows import MAX_TOKENS, shorten

MAX_REQUESTS: Final = 10**10
MAX_RATE_PER_S: Final = 1e7
MIN_BLOCK_TOKENS: Final = 8
MAX_BLOCK_TOKENS: Final = 131_072
"""Of a block that an id stands for; 16 to 512 are usual."""

MIN_CV: Final = 0.01
MAX_CV: Final = 20.0
"""Beyond it a Weibull's shape is so small that single gaps last longer than any run."""

MAX_STAGES: Final = 10_000

MAX_SYSTEM_BLOCKS: Final = 2**20
"""Bound on block ids kept for system prompts."""


class FieldError(ConfigError):
    """A value of a workload that cannot be used; whoever read it from a file adds the place."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        self.field = field
        self._given = (field, problem, fix)
        super().__init__(f"{field} {problem}; {fix}")

    def __reduce__(self) -> tuple[type[FieldError], tuple[str, str, str]]:
        """As in `TraceError`."""
        return type(self), self._given


def check_range(field: str, value: float, low: float, high: float) -> None:
    """FieldError unless low <= value <= high (a NaN is not)."""
    if not low <= value <= high:
        raise FieldError(field, f"is {shorten(value)}", f"give a number from {low:.12g} to {high:.12g}")


class Process(StrEnum):
    """How gaps between arrivals are distributed; all with the same mean."""

    POISSON = "poisson"
    GAMMA = "gamma"
    WEIBULL = "weibull"


class RateStage(Struct, frozen=True):
    """For `duration_s` the rate is `rate_per_s`, or goes in a line from there to `end_rate_per_s`; 0 for a pause."""

    duration_s: float
    rate_per_s: float
    end_rate_per_s: float | None = None

    def __post_init__(self) -> None:
        check_range("duration_s", self.duration_s, 1e-3, 1e9)
        check_range("rate_per_s", self.rate_per_s, 0.0, MAX_RATE_PER_S)
        check_range("end_rate_per_s", self.last_rate_per_s, 0.0, MAX_RATE_PER_S)

    @property
    def last_rate_per_s(self) -> float:
        """The rate as the stage ends."""
        return self.rate_per_s if self.end_rate_per_s is None else self.end_rate_per_s

    @property
    def num_expected(self) -> float:
        """Arrivals expected in all of it."""
        return (self.rate_per_s + self.last_rate_per_s) / 2 * self.duration_s


class ArrivalProcess(Struct, frozen=True):
    """Arrivals at a mean rate; `cv` is the coefficient of variation of gaps (1 for Poisson, more is burstier).

    With an amplitude a the rate swings as `rate_per_s * (1 + a * sin(2 pi t / diurnal_period_s))`. With `stages`, in
    place of both, it is theirs, one after another; the first arrival is where the first begins, and none comes after
    the last. Either way `cv` holds for gaps measured in expected arrivals.
    """

    rate_per_s: float = 0.0
    process: Process = Process.POISSON
    cv: float = 1.0
    diurnal_amplitude: float = 0.0
    diurnal_period_s: float = 86_400.0
    stages: tuple[RateStage, ...] = ()

    def __post_init__(self) -> None:
        if self.stages:
            self._check_stages()
        else:
            check_range("rate_per_s", self.rate_per_s, 1 / MAX_RATE_PER_S, MAX_RATE_PER_S)
        check_range("cv", self.cv, MIN_CV, MAX_CV)
        if self.process is Process.POISSON and self.cv != 1.0:
            raise FieldError("cv", f"is {self.cv:g} in a Poisson process, whose cv is 1", "set process: gamma")
        check_range("diurnal_amplitude", self.diurnal_amplitude, 0.0, 1.0)
        check_range("diurnal_period_s", self.diurnal_period_s, 1.0, 1e9)

    def _check_stages(self) -> None:
        for field, value in (("rate_per_s", self.rate_per_s), ("diurnal_amplitude", self.diurnal_amplitude)):
            if value:
                raise FieldError(field, f"is {value:g} beside stages, which say the rate", "leave one of them out")
        if len(self.stages) > MAX_STAGES:
            raise FieldError("stages", f"has {len(self.stages):,} entries", f"give at most {MAX_STAGES:,}")
        if not self.stages[0].num_expected:
            problem = "begins with a pause, but a trace begins with its first request"
            raise FieldError("stages", problem, "leave the pause out")
        check_range("stages", math.fsum(stage.num_expected for stage in self.stages), 0.0, MAX_REQUESTS)


class LogNormalLengths(Struct, frozen=True):
    """Token counts from a log-normal of this mean and cv, rounded, then clipped to minimum..maximum."""

    mean: float
    cv: float
    minimum: int = 1
    maximum: int = 131_072

    def __post_init__(self) -> None:
        check_range("mean", self.mean, 1.0, MAX_TOKENS)
        check_range("cv", self.cv, 0.0, MAX_CV)
        check_range("minimum", self.minimum, 1, MAX_TOKENS)
        check_range("maximum", self.maximum, self.minimum, MAX_TOKENS)


class EmpiricalLengths(Struct, frozen=True):
    """Token counts drawn from a histogram: `values[i]` with a probability in proportion to `weights[i]`."""

    values: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or len(self.values) != len(self.weights):
            raise FieldError("values", f"has {len(self.values)} entries", "give at least one, and a weight for each")
        check_range("values", min(self.values), 1, MAX_TOKENS)
        check_range("values", max(self.values), 1, MAX_TOKENS)
        if min(self.weights) < 0 or not 0 < math.fsum(self.weights) < math.inf:
            raise FieldError("weights", "have no positive sum", "give weights of at least 0, some above it")

    @property
    def maximum(self) -> int:
        """The longest that can be drawn."""
        return max(self.values)


Lengths = LogNormalLengths | EmpiricalLengths


class IndependentRequests(Struct, frozen=True):
    """Requests that share nothing; prompt and output lengths are drawn independently."""

    arrivals: ArrivalProcess
    prompt_tokens: Lengths
    output_tokens: Lengths


class SessionRequests(Struct, frozen=True):
    """Conversations: sessions start by the arrival process, and each turn's prompt is all before it plus new tokens.

    `prompt_tokens` draws the new tokens of a turn. Turns number geometrically with mean `mean_turns`, at most
    `max_turns`. The next turn comes `answer_s_per_output_token` times the output, plus a log-normal think time, after
    the turn before: an open loop, which does not know the true end of the answer. A session ends before a prompt would
    exceed `max_prompt_tokens`. Every prompt begins with a system prompt of `system_tokens`, one of `system_groups`;
    whole blocks of it are shared by all sessions of a group, whole blocks of history by the turns of a session.
    """

    arrivals: ArrivalProcess
    prompt_tokens: Lengths
    output_tokens: Lengths
    mean_turns: float = 5.0
    max_turns: int = 50
    think_mean_s: float = 30.0
    think_cv: float = 1.0
    answer_s_per_output_token: float = 0.03
    system_groups: int = 1
    system_tokens: int = 0
    max_prompt_tokens: int = 131_072

    def __post_init__(self) -> None:
        check_range("max_turns", self.max_turns, 1, 1000)
        check_range("mean_turns", self.mean_turns, 1.0, self.max_turns)
        check_range("think_mean_s", self.think_mean_s, 0.0, 1e6)
        check_range("think_cv", self.think_cv, 0.0, MAX_CV)
        check_range("answer_s_per_output_token", self.answer_s_per_output_token, 0.0, 10.0)
        check_range("system_groups", self.system_groups, 1, MAX_SYSTEM_BLOCKS)
        check_range("system_tokens", self.system_tokens, 0, MAX_TOKENS)
        check_range("max_prompt_tokens", self.max_prompt_tokens, 1, MAX_TOKENS)
        first_tokens = self.system_tokens + self.prompt_tokens.maximum
        if first_tokens > self.max_prompt_tokens:
            problem = f"is {self.max_prompt_tokens}, but a first prompt may have {first_tokens} tokens"
            raise FieldError("max_prompt_tokens", problem, "raise it, or lower prompt_tokens.maximum or system_tokens")
        self.check_blocks(BLOCK_TOKENS)

    def check_blocks(self, block_tokens: int) -> None:
        """FieldError if the system prompts have too many blocks of so many tokens."""
        if self.system_groups * (self.system_tokens // block_tokens) > MAX_SYSTEM_BLOCKS:
            problem = f"is {self.system_groups} of {self.system_tokens} tokens each"
            raise FieldError("system_groups", problem, f"keep all within {MAX_SYSTEM_BLOCKS} blocks of {block_tokens}")


class ServeGenRequests(Struct, frozen=True):
    """ServeGen clients (a folder of them) from `start_s` for `duration_s` (None: to the end).

    `rate_per_s` scales all clients alike so that their mean rate in that time is this; None leaves it as published.
    """

    folder: str
    start_s: float = 0.0
    duration_s: float | None = None
    rate_per_s: float | None = None

    def __post_init__(self) -> None:
        check_range("start_s", self.start_s, 0.0, 1e9)
        if self.duration_s is not None:
            check_range("duration_s", self.duration_s, 1e-3, 1e9)
        if self.rate_per_s is not None:
            check_range("rate_per_s", self.rate_per_s, 1 / MAX_RATE_PER_S, MAX_RATE_PER_S)


class Workload(Struct, frozen=True):
    """A named stream of requests. `num_requests` ends it; ServeGen and stages of rates end by themselves as well, and
    may leave it out.

    `block_tokens`: tokens of a block that prompts share and that an id stands for; None for those of the run.
    With `class_shares`, (name, share) of request classes, each request asks for one, drawn in proportion to the shares.
    """

    name: str
    requests: IndependentRequests | SessionRequests | ServeGenRequests
    num_requests: int | None = None
    class_shares: tuple[tuple[str, float], ...] = ()
    block_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.block_tokens is not None:
            check_range("block_tokens", self.block_tokens, MIN_BLOCK_TOKENS, MAX_BLOCK_TOKENS)
            if isinstance(self.requests, SessionRequests):
                self.requests.check_blocks(self.block_tokens)
        if self.class_shares and not 0 < math.fsum(share for _, share in self.class_shares) < math.inf:
            raise FieldError("classes", "have no positive sum", "give shares of at least 0, some above it")
        if self.num_requests is not None:
            check_range("num_requests", self.num_requests, 1, MAX_REQUESTS)
        elif not isinstance(self.requests, ServeGenRequests) and not self.requests.arrivals.stages:
            raise FieldError("num_requests", "is missing", "say how many requests to generate")
