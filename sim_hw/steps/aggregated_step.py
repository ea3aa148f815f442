"""The steps of an aggregated instance in the steady state: as many prompts come as requests end.

`batch_per_npu` sequences of each NPU decode all the time. One of them ends after so many steps as its output takes, so
that in the mean `batch / steps` prompts come in a step, and what is to be computed of them waits for the rows that
sequences leave of the token budget. So some steps compute nothing of prompts (`chunk_arrivals` says how many), and the
others share all there is to compute: their mean length is that of a step with the mean chunk, since the time of a chunk
grows in proportion to its tokens wherever chunks are large enough to matter.
"""

from __future__ import annotations

from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.errors import OperatingPointError
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.chunk_arrivals import idle_share
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.mixed_step import mixed_step
from sim_hw.steps.prefill_pass import PassTokens, PrefillModel, fetch_s, pass_time
from sim_hw.steps.step_time import StepTime, total


class AggregatedPoint(Struct, frozen=True):
    """Requests of one prompt and output length at one instance: `decode` has the sequences that run, with their mean
    context, `prefill` the prompts; its `batch_tokens_per_npu` is the token budget of a step."""

    decode: DecodePoint
    prefill: PrefillPoint
    output_tokens: int

    @property
    def steps_per_request(self) -> int:
        """Steps after the first token, which the last chunk of its prompt yields."""
        return ceil((self.output_tokens - 1) / self.decode.tokens_per_iteration - 1e-9)

    @property
    def computed_tokens(self) -> float:
        """Of each prompt; the rest is cached."""
        return self.prefill.prompt_tokens - self.prefill.cached_per_prompt

    @property
    def num_running(self) -> int:
        """Sequences of the instance."""
        return self.decode.batch_per_npu * self.decode.num_npus

    @property
    def prompts_per_step(self) -> float:
        """That come, in the mean; as many end."""
        return self.num_running / self.steps_per_request

    @property
    def budget_tokens(self) -> int:
        """Token rows of a step of the instance."""
        return self.prefill.batch_tokens_per_npu * self.prefill.num_npus

    @property
    def room_tokens(self) -> int:
        """Of the budget, what sequences leave to prompts."""
        return self.budget_tokens - self.decode.rows_per_request * self.num_running

    @property
    def chunk_tokens(self) -> float:
        """Computed in a step, in the mean over all."""
        return self.prompts_per_step * self.computed_tokens

    @property
    def pairs_per_token(self) -> float:
        """(query, key) pairs of a computed token, in the mean over a prompt."""
        return self.prefill.cached_per_prompt + (self.computed_tokens + 1.0) / 2.0

    @property
    def most_balanced_batch(self) -> int:
        """Requests per NPU whose successors' prompts can just be computed beside them; below 1 if there is none."""
        rows = self.decode.rows_per_request + self.computed_tokens / self.steps_per_request
        return int(self.prefill.batch_tokens_per_npu / rows)

    def check(self) -> None:
        """Raise `OperatingPointError` for a point that cannot exist or has no steady state."""
        budget = self.prefill.batch_tokens_per_npu
        if budget < 1:
            raise OperatingPointError(f"token budget per NPU is at least 1, not {budget}: raise --token-budget")
        self.prefill.check()
        if self.output_tokens < 2:
            raise OperatingPointError(
                f"{self.output_tokens} output tokens: the first comes with the prompt and nothing decodes; "
                "raise --output, or ask model prefill"
            )
        most = self.decode.model.max_positions
        if self.prefill.prompt_tokens + self.output_tokens > most:
            raise OperatingPointError(
                f"{self.prefill.prompt_tokens} prompt and {self.output_tokens} output tokens are beyond the {most} "
                f"positions of {self.decode.model.name}: lower --output"
            )
        self.decode.check()
        self._check_balance()

    def _check_balance(self) -> None:
        batch, budget = self.decode.batch_per_npu, self.prefill.batch_tokens_per_npu
        if batch <= self.most_balanced_batch:
            return
        rows = self.decode.rows_per_request * batch
        chunk = self.chunk_tokens / self.decode.num_npus
        fixes = [f"raise --token-budget to {ceil(rows + chunk)}"]
        if self.most_balanced_batch:
            fixes.insert(0, f"lower --batch to {self.most_balanced_batch}")
        raise OperatingPointError(
            f"{batch} requests of an NPU take {rows} of the {budget} token rows of a step, and in each step prompts of "
            f"{chunk:,.0f} tokens come for those that end: {' or '.join(fixes)}"
        )

    def tokens(self, computed: float) -> PassTokens:
        """The work of a rank in a step that computes so many tokens of prompts, each in its mean place."""
        ranks = self.decode.num_ranks / tensor_ranks(self.decode)
        of_rank = computed / ranks
        cached = of_rank * self.prefill.cached_per_prompt / self.computed_tokens
        return PassTokens(of_rank, cached, of_rank * self.pairs_per_token)


class AggregatedSteps(Struct, frozen=True):
    """Of all steps, `mixed_share` compute `chunk_tokens` of prompts of the instance; `mean` is over all of them."""

    plain: StepTime
    mixed: StepTime
    mixed_share: float
    chunk_tokens: float
    mean: StepTime


def laid_out_alike(decode: DecodePoint, prefill: PrefillPoint) -> PrefillPoint:
    """The prefill part of an instance whose weights lie as `decode` has them: there is one set, and no pipeline."""
    return replace(
        prefill,
        num_npus=decode.num_npus,
        ep=decode.ep,
        slots_per_rank=decode.slots_per_rank,
        tp=decode.tp,
        expert_tp=decode.expert_tp,
        pp=1,
        cp=1,
    )


def aggregated_point(decode: DecodePoint, prefill: PrefillPoint, output_tokens: int) -> AggregatedPoint:
    """Of requests as `prefill` has their prompts, in an instance as `decode` has it; a sequence has half of its output
    in the mean."""
    context_tokens = prefill.prompt_tokens + output_tokens // 2
    return AggregatedPoint(
        replace(decode, context_tokens=context_tokens), laid_out_alike(decode, prefill), output_tokens
    )


def with_batch(point: AggregatedPoint, batch_per_npu: int) -> AggregatedPoint:
    """The same with so many requests."""
    return replace(point, decode=replace(point.decode, batch_per_npu=batch_per_npu))


def aggregated_steps(point: AggregatedPoint, fit: ChipFit | None = None) -> AggregatedSteps:
    """With the fitted numbers of the chip, or with others for comparison."""
    idle = idle_share(point.prompts_per_step, point.computed_tokens, point.room_tokens)
    mixed_share = 1.0 - idle
    chunk_tokens = point.chunk_tokens / mixed_share
    plain = decode_step(point.decode, fit).step
    mixed = mixed_step(point.decode, point.prefill, point.tokens(chunk_tokens), fit)
    return AggregatedSteps(
        plain, mixed, mixed_share, chunk_tokens, total([plain.times(idle), mixed.times(mixed_share)])
    )


def full_step(point: AggregatedPoint) -> StepTime:
    """A step that computes as much of prompts as sequences leave room for."""
    return mixed_step(point.decode, point.prefill, point.tokens(point.room_tokens))


def idle_ttft_s(point: AggregatedPoint) -> float:
    """Of a prompt that finds the instance idle: fetched, then computed a token budget at a time, by itself."""
    prefill, budget = point.prefill, float(point.budget_tokens)
    model = PrefillModel(prefill, fit_of(prefill.chip), expert_layout(prefill))
    num_full = int(point.computed_tokens // budget)
    left = point.computed_tokens - num_full * budget
    cached, ranks = prefill.cached_per_prompt, point.decode.num_ranks
    seconds = fetch_s(prefill, cached / ranks)
    # A token attends to all before it; those of full steps to half of all full steps in the mean.
    for count, tokens, before in (
        (num_full, budget, cached + budget * (num_full - 1) / 2.0),
        (1, left, cached + num_full * budget),
    ):
        if count and tokens:
            share = tensor_ranks(point.decode) / ranks
            pairs = tokens * before + tokens * (tokens + 1.0) / 2.0
            handled = cached * tokens / point.computed_tokens
            part = PassTokens(share * tokens, share * handled, share * pairs)
            seconds += count * pass_time(model, part).whole.seconds
    return seconds
