"""How instances stood when a choice was made: the numbers behind a decision, for whoever keeps decisions."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Final, TypeVar

from msgspec import Struct

from scheduler.core.routing.router import Router
from scheduler.policies.undeclared import Refusal

NumberT = TypeVar("NumberT", int, float)

NOWHERE: Final = -1
"""Tokens of a prompt at hand, at a stage where none can be or where nobody knows."""


class Standing(Struct, frozen=True):
    """One instance, as the core knew it when it chose; NaN (`hit_tokens`: -1) is what nobody knew.

    `requests` and `tokens` were outstanding there. `hit_tokens` of the prompt needed no computing there. `wait_ns`:
    predicted time until it has done what it had; `work_ns`: predicted time that the request adds, or time per output
    token. `score`: what the policy made of it, in the policy's own units.
    """

    instance: int
    requests: int
    tokens: int
    hit_tokens: int
    wait_ns: float
    work_ns: float
    score: float


def standings(
    router: Router, chosen: int, pool_tokens: int, *, own_caches: bool = False
) -> tuple[Standing, Standing | None]:
    """The instance that was chosen, and the best other, if there is one; to be asked before the choice is counted.

    The best other has the score next to the chosen one's, or, of a policy that has no scores, the least predicted time,
    or else the fewest outstanding tokens. `pool_tokens` of the prompt are at hand wherever it
    goes, `NOWHERE` of decode; with `own_caches` what is at hand is known only to a policy that reads it.
    """
    eligible, found = router.stage.eligible, router.last_request
    by_place = router.scores()
    scores = dict(zip(eligible, by_place)) if by_place else {}
    held = waits = works = ()
    if found is not None:
        held, waits, works = _known(found.held_tokens), _known(found.backlog_ns), _known(found.work_ns)
    others = [index for index in eligible if index != chosen]
    best: int | None = None
    if chosen in scores:
        reached = scores[chosen]
        best = min(others, key=lambda index: abs(scores[index] - reached), default=None)
    elif waits:
        best = min(others, key=lambda index: waits[index] + works[index], default=None)
    else:
        best = min(others, key=router.stage.outstanding_tokens.__getitem__, default=None)

    def hit_tokens(index: int) -> int:
        if own_caches and not held:
            return NOWHERE
        return max(pool_tokens, held[index]) if held and pool_tokens != NOWHERE else pool_tokens

    def standing(index: int) -> Standing:
        return Standing(
            index,
            router.stage.outstanding_requests[index],
            router.stage.outstanding_tokens[index],
            hit_tokens(index),
            waits[index] if waits else nan,
            works[index] if works else nan,
            scores.get(index, nan),
        )

    return standing(chosen), None if best is None else standing(best)


def _known(column: Sequence[NumberT]) -> Sequence[NumberT]:
    """Nothing of what was refused to the policy."""
    return () if isinstance(column, Refusal) else column
