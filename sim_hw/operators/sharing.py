"""The ranks that share the tensors of a layer, and the collectives between them.

Where attention is shared by all ranks that the experts are on, or a model has none, the rows of a group are on each of
its ranks: each block ends in an all-reduce, and experts need no dispatch. Else rows are scattered after attention, so
that each rank has its own among the experts, and gathered before the next; an expert that several ranks share gathers
and scatters the rows of these.
"""

from __future__ import annotations

from msgspec import Struct

from sim_hw.clusters.supernode import Supernode
from sim_hw.operators.collectives import all_reduce_s, gather_s, reduce_scatter_s
from sim_hw.operators.layout import tensor_ranks
from sim_hw.operators.operating_point import Instance
from sim_hw.operators.operator import Operator, OperatorClass

ACTIVATION_BYTES = 2.0
"""BF16, in which partial sums travel."""


class Sharing(Struct, frozen=True):
    """Of one instance. `rows` are those of a group of `attention` ranks together."""

    cluster: Supernode
    hidden: int
    attention: int
    """Ranks that share attention and vocabulary."""
    expert: int
    """Ranks that share an expert, or a dense feed-forward part of a model with experts."""
    is_joined: bool
    fixed_s: float = 0.0
    """Of each collective."""

    @property
    def dense(self) -> int:
        """Ranks that share a dense feed-forward part."""
        return self.attention if self.is_joined else self.expert

    def rank_rows(self, rows: float) -> float:
        """Those that one rank brings to the experts."""
        return rows / self.attention

    def dense_rows(self, rows: float) -> float:
        """Those that a rank multiplies in a dense feed-forward part."""
        return rows if self.is_joined else rows / self.attention * self.expert

    def after_attention(self, rows: float) -> tuple[Operator, ...]:
        """Between the ranks of attention, once a layer."""
        if self.attention == 1:
            return ()
        if self.is_joined:
            return (self._all_reduce("attention_all_reduce", rows),)
        return (
            self._scatter("attention_scatter", self.attention, rows),
            self._gather("attention_gather", self.attention, rows),
        )

    def around_dense(self, rows: float) -> tuple[Operator, ...]:
        """Of a dense feed-forward part."""
        if self.is_joined:
            return (self._all_reduce("ffn_all_reduce", rows),) if self.attention > 1 else ()
        return self._around("ffn", rows)

    def around_experts(self, rows: float) -> tuple[Operator, ...]:
        """Of the experts, beside dispatch and combine, or in place of these where `is_joined`."""
        if self.is_joined:
            return (self._all_reduce("expert_all_reduce", rows),)
        return self._around("expert", rows)

    def _around(self, block: str, rows: float) -> tuple[Operator, ...]:
        if self.expert == 1:
            return ()
        shared = self.dense_rows(rows)
        return (
            self._gather(f"{block}_gather", self.expert, shared),
            self._scatter(f"{block}_scatter", self.expert, shared),
        )

    def _all_reduce(self, name: str, rows: float) -> Operator:
        return self._wait(name, all_reduce_s(self.cluster, self.attention, ACTIVATION_BYTES * rows * self.hidden))

    def _gather(self, name: str, ranks: int, rows: float) -> Operator:
        return self._wait(name, gather_s(self.cluster, ranks, ACTIVATION_BYTES * rows * self.hidden))

    def _scatter(self, name: str, ranks: int, rows: float) -> Operator:
        return self._wait(name, reduce_scatter_s(self.cluster, ranks, ACTIVATION_BYTES * rows * self.hidden))

    def _wait(self, name: str, seconds: float) -> Operator:
        return Operator(name, OperatorClass.WAIT, wait_s=self.fixed_s + seconds)


def sharing_of(instance: Instance, fixed_s: float = 0.0) -> Sharing:
    """Of `instance`, whose collectives take `fixed_s` each besides their bytes."""
    attention = tensor_ranks(instance)
    expert = instance.expert_tp
    on_all = attention > 1 and attention == instance.ep * expert
    is_joined = instance.model.experts is None or on_all
    return Sharing(instance.cluster, instance.model.hidden, attention, expert, is_joined, fixed_s)
