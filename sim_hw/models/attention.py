"""The two kinds of attention: what a layer of each multiplies, attends and caches; sizes in elements."""

from __future__ import annotations

from msgspec import Struct


class Projection(Struct, frozen=True):
    """A matrix of weights, applied to each token."""

    name: str
    inputs: int
    outputs: int
    into_heads: bool
    """Its output is per head: tensor parallelism splits it by columns."""

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs


class LatentAttention(Struct, frozen=True):
    """Multi-head latent attention (MLA) of DeepSeek-V2 and later: keys and values are cached as one latent vector."""

    heads: int
    q_rank: int | None
    """Rank of the query's down-projection; None if queries are projected directly."""
    kv_rank: int
    rope_dim: int
    """The part of each key that carries the position; one vector, shared by all heads."""
    nope_dim: int
    value_dim: int

    def projections(self, hidden: int) -> tuple[Projection, ...]:
        """The weights of one layer for hidden states of that size, in the order in which they are applied."""
        query_outputs = self.heads * (self.nope_dim + self.rope_dim)
        if self.q_rank is None:
            queries = (Projection("q", hidden, query_outputs, True),)
        else:
            queries = (
                Projection("q_down", hidden, self.q_rank, False),
                Projection("q_up", self.q_rank, query_outputs, True),
            )
        return (
            *queries,
            Projection("kv_down", hidden, self.kv_rank + self.rope_dim, False),
            Projection("kv_up", self.kv_rank, self.heads * (self.nope_dim + self.value_dim), True),
            Projection("output", self.heads * self.value_dim, hidden, False),
        )

    @property
    def cached_elements(self) -> int:
        """Of one token in one layer: the latent and the positional part of the key."""
        return self.kv_rank + self.rope_dim

    @property
    def cached_heads(self) -> int:
        """Ways in which tensor parallelism can split the cache; the latent is one."""
        return 1

    @property
    def prefill_flops_per_pair(self) -> int:
        """Scores and values of one (query, key) pair in one layer, keys and values expanded to all heads."""
        return 2 * self.heads * (self.nope_dim + self.rope_dim + self.value_dim)

    @property
    def decode_flops_per_kv_token(self) -> int:
        """Scores and values of one token row over one KV token in one layer, on the latent (absorbed projections)."""
        return 2 * self.heads * (self.kv_rank + self.rope_dim + self.kv_rank)


class GroupedQueryAttention(Struct, frozen=True):
    """Grouped-query attention (GQA): several query heads share one key and value head."""

    heads: int
    kv_heads: int
    head_dim: int

    def projections(self, hidden: int) -> tuple[Projection, ...]:
        """The weights of one layer for hidden states of that size, in the order in which they are applied."""
        return (
            Projection("q", hidden, self.heads * self.head_dim, True),
            Projection("k", hidden, self.kv_heads * self.head_dim, True),
            Projection("v", hidden, self.kv_heads * self.head_dim, True),
            Projection("output", self.heads * self.head_dim, hidden, False),
        )

    @property
    def cached_elements(self) -> int:
        """Of one token in one layer: keys and values."""
        return 2 * self.kv_heads * self.head_dim

    @property
    def cached_heads(self) -> int:
        """Ways in which tensor parallelism can split the cache."""
        return self.kv_heads

    @property
    def prefill_flops_per_pair(self) -> int:
        """Scores and values of one (query, key) pair in one layer."""
        return 4 * self.heads * self.head_dim

    @property
    def decode_flops_per_kv_token(self) -> int:
        """Scores and values of one token row over one KV token in one layer: the same work as in prefill."""
        return self.prefill_flops_per_pair


Attention = LatentAttention | GroupedQueryAttention
