"""Instances of both stages in the naive simulation: their one load, and the rule that sends prompts to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.case import Case
from tests.naive.request import Request

if TYPE_CHECKING:
    from tests.naive.simulation import Core


def same_at_decode(case: Case, prefill: int) -> int | None:
    """The number at decode of who computes prompts, if it decodes, too."""
    number = prefill - case.num_prefill
    return case.num_decode + number if number >= 0 else None


def same_at_prefill(case: Case, decode: int) -> int | None:
    """The same the other way."""
    number = decode - case.num_decode
    return case.num_prefill + number if number >= 0 else None


def requests_at(core: Core, prefill: int | None, decode: int | None) -> int:
    """Requests that an instance has to do with, by its number at each stage where it is one of those."""
    computed = sum(r.stage == "prefill" and r.prefill_instance == prefill for r in core.known)
    return computed + sum(r.counts_at_decode and r.decode_instance == decode for r in core.known)


def tokens_at(core: Core, prefill: int | None, decode: int | None) -> int:
    """Their tokens."""
    computed = 0 if prefill is None else core.prefill_tokens(prefill)
    return computed + (0 if decode is None else core.decode_tokens(decode))


def stays(core: Core, request: Request) -> bool:
    """What the rule of the case says."""
    case = core.case
    name, _, number = case.disaggregation.partition("=")
    if name == "prefix_threshold:tokens":
        return request.prompt_tokens + request.produced - request.cached < int(number)
    if name == "queue:threshold":
        queues = [core.prefill_tokens(index) for index in range(case.num_prefill)]
        # Unless more is promised at each aggregated instance than its KV can hold.
        capacity = 128 * case.blocks_per_die * case.num_dies
        local = range(case.num_prefill, len(core.prefill))
        is_busy = all(tokens_at(core, index, same_at_decode(case, index)) > capacity for index in local)
        return not is_busy and min(queues) > float(number) * case.token_budget
    return name == "never"
