"""Tokens of all requests together: prompts, what prefill computed, what was produced, and what had to be redone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from scheduler.metrics.columns import ratio
from scheduler.metrics.family import Family
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.records import Records
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.protocol.messages import PrefillStepped


class TokenTotals(Struct, frozen=True):
    """Prompt tokens count when the first token comes out, computed ones as passes end, recomputation included.

    Tokens that are produced, and sequences that lost their room, are told by instance: see `EngineTotals`.
    """

    prompt: int
    computed: int


class TokenAccount(Account[TokenTotals]):
    """Adds up prompts of the records, and passes as they are told."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._prompt = self._computed = 0

    def handlers(self) -> Handlers:
        """Passes."""
        return {PrefillStepped: self._on_prefill_stepped}

    def _on_prefill_stepped(self, _session: Session, message: PrefillStepped) -> None:
        self._computed += message.computed_tokens

    def drain(self, first: Records, ended: Records) -> None:
        """Count the prompts of those whose first token came out."""
        self._prompt += int(first.prompt_tokens.sum())

    def totals(self, session: Session | None) -> TokenTotals:
        """As they stand."""
        return TokenTotals(self._prompt, self._computed)


class Throughput(Struct, frozen=True):
    """Finished requests, and tokens as `TokenUse` has them, per second of emulated time."""

    requests_per_s: float | None
    input_tokens_per_s: float | None
    output_tokens_per_s: float | None


class TokenUse(Struct, frozen=True):
    """The one definition of a run's tokens; rates, joules and dollars per token are of these.

    `prompt`: of requests whose first token came out, cached tokens included. `output`: all that were produced, for
    whatever request. Of these, `wasted_prompt` and `wasted_output` were for requests that did not finish. `computed`:
    by prefill, recomputation included, cached tokens not.
    """

    prompt: int
    output: int
    computed: int
    wasted_prompt: int
    wasted_output: int


def _summary(run: EndedRun) -> Mapping[str, Any]:
    served, records = run.served, run.records
    is_wasted = ~records.is_finished
    tokens = TokenUse(
        served.prompt_tokens,
        served.output_tokens,
        run.collector.computed_tokens,
        int(records.prompt_tokens[is_wasted & records.has_first_token].sum()),
        int(records.output_tokens[is_wasted].sum()),
    )
    amounts = (served.num_requests, served.prompt_tokens, served.output_tokens)
    return {
        "throughput": Throughput(*(ratio(amount, run.span_s) for amount in amounts)),
        "tokens": tokens,
        "preemptions": int(run.records.preemptions.sum()),
    }


FAMILIES: Final = (
    Family(
        "supernode_preemptions_total", "counter", "Sequences that left a decode instance because no KV block was free.",
        lambda s: (sum(s[EngineTotals].preemptions),),
    ),
    Family(
        "supernode_prompt_tokens_total", "counter", "Prompt tokens of requests whose first token came out.",
        lambda s: (s[TokenTotals].prompt,),
    ),
    Family(
        "supernode_computed_tokens_total", "counter", "Tokens computed by prefill passes, recomputation included.",
        lambda s: (s[TokenTotals].computed,),
    ),
    Family(
        "supernode_generation_tokens_total", "counter", "Output tokens as they are produced, the first one included.",
        lambda s: (sum(s[EngineTotals].generation_tokens),),
    ),
)  # fmt: skip

SUBJECTS.register("tokens", Subject(TokenTotals, TokenAccount, FAMILIES, _summary))
