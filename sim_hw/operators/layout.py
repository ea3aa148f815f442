"""Where the experts of a layer lie, and how many token rows reach the slowest rank."""

from __future__ import annotations

from functools import cache
from math import exp, log, sqrt

from msgspec import Struct

from sim_hw.errors import DoesNotFitError
from sim_hw.models.shape import Experts, ModelShape
from sim_hw.operators.expert_balance import place_greedily, place_in_order, skewed_histogram, slowest_rank_load
from sim_hw.operators.operating_point import ExpertBalance, Instance

EXPERTS_PER_REDUNDANT = 8
"""DeepSeek's and CloudMatrix-Infer's layouts keep 32 copies beside 256 routed experts where slots come out even."""

FEWEST_RANKS_WITH_COPIES = 16
"""Published layouts with copies have at least so many ranks; one of four keeps none, as each holds a quarter anyway."""

RANKS_PER_SHARED_RANK = 10
"""CloudMatrix-Infer's decode instance gives 32 of its 320 ranks to copies of the shared expert."""


class ExpertLayout(Struct, frozen=True):
    """One expert layer over `ep` ranks.

    Either each rank holds all shared experts beside `routed_slots` routed ones, or, with more ranks than routed
    experts, `shared_ranks` ranks hold nothing but a shared one and the others one routed each.
    """

    experts: Experts
    ep: int
    routed_slots: int
    shared_ranks: int

    @property
    def slots_per_rank(self) -> int:
        """Experts on one rank, whose weights a layer reads."""
        return self.routed_slots + (0 if self.shared_ranks else self.experts.shared)

    @property
    def messages_per_row(self) -> int:
        """Ranks that a token row is sent to; a shared expert on the row's own rank needs no message."""
        return self.experts.routed_per_token + (self.experts.shared if self.shared_ranks else 0)

    def slowest_rank_slots(self, rows_per_rank: float) -> float:
        """Experts of the busiest rank that any row comes to: the weights of the others are not read.

        Rows choose independently, so a slot is idle with the probability of a Poisson count of 0; the busiest of `ep`
        ranks lies the square root of 2 ln(ep) standard deviations above the mean.
        """
        routed_ranks = self.ep - self.shared_ranks
        rows_per_slot = self.ep * rows_per_rank * self.experts.routed_per_token / (routed_ranks * self.routed_slots)
        asked = 1.0 - exp(-rows_per_slot)
        above_mean = sqrt(2.0 * log(self.ep) * self.routed_slots * asked * (1.0 - asked))
        return min(self.routed_slots, self.routed_slots * asked + above_mean) + self.slots_per_rank - self.routed_slots

    def slowest_rank_rows(self, rows_per_rank: float, balance: ExpertBalance, spread: float) -> float:
        """(row, expert) pairs on the busiest rank when each rank sends `rows_per_rank` token rows.

        `spread` is the standard deviation over the mean of the load that the batch puts on an expert.
        """
        routed_ranks = self.ep - self.shared_ranks
        mean = self.ep * rows_per_rank * self.experts.routed_per_token / routed_ranks
        routed = mean * _imbalance(self.experts.routed, routed_ranks, self.routed_slots, balance, spread)
        if self.shared_ranks:
            return max(routed, self.ep * rows_per_rank / self.shared_ranks)
        return routed + self.experts.shared * rows_per_rank


@cache
def _imbalance(experts: int, ranks: int, slots: int, balance: ExpertBalance, spread: float) -> float:
    if balance is ExpertBalance.PERFECT:
        return 1.0
    loads = skewed_histogram(experts, spread)
    place_blindly = place_in_order(experts, ranks, slots)
    if balance is ExpertBalance.DEFAULT:
        return slowest_rank_load(loads, place_blindly)
    # A balancer would not replace a placement by a worse one, which greed now and then is.
    return min(slowest_rank_load(loads, place_greedily(loads, ranks, slots)), slowest_rank_load(loads, place_blindly))


def expert_layout(instance: Instance) -> ExpertLayout | None:
    """The experts of `instance`; None for a dense model.

    Raises `DoesNotFitError` if the slots cannot hold every routed and shared expert.
    """
    return _expert_layout(instance.model, instance.ep, instance.slots_per_rank)


@cache
def _expert_layout(model: ModelShape, ep: int, slots_per_rank: int | None) -> ExpertLayout | None:
    experts = model.experts
    if experts is None:
        return None
    slots = _usual_slots(experts, ep) if slots_per_rank is None else slots_per_rank
    if slots > experts.shared:
        shared_ranks, routed_slots = 0, slots - experts.shared
    else:
        shared_ranks, routed_slots = max(1, ep // RANKS_PER_SHARED_RANK), slots
    if slots < 1 or (ep - shared_ranks) * routed_slots < experts.routed:
        needed = -(-experts.routed // ep) + experts.shared
        raise DoesNotFitError(
            f"{ep} ranks x {slots} slots cannot hold {experts.routed} routed and {experts.shared} shared experts of "
            f"{model.name}: raise --slots-per-rank to {needed}"
        )
    return ExpertLayout(experts, ep, routed_slots, shared_ranks)


def _usual_slots(experts: Experts, ep: int) -> int:
    """One where shared experts can have ranks of their own, else as many as all of them need, with copies if even."""
    if experts.shared == 1 and ep - ep // RANKS_PER_SHARED_RANK >= experts.routed:
        return 1
    redundant = experts.routed // EXPERTS_PER_REDUNDANT if ep >= FEWEST_RANKS_WITH_COPIES else 0
    return max(-(-experts.routed // ep), (experts.routed + redundant) // ep) + experts.shared


def tensor_ranks(instance: Instance) -> int:
    """Ranks that share the attention of each layer, and all else of a dense model."""
    if instance.tp is not None:
        return instance.tp
    return 1 if instance.model.experts else instance.ep
