"""How long the weights of a model take to load, in closed forms of what flows in the fabric with nothing beside.

Nothing else is modelled (no unpacking, no allocation). Compared with table 1 of arXiv 2506.12708 v3, whose authors call
its latencies illustrative (docs/caching.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.model_loading import OBJECT_STORE_BYTES_PER_S, Strategy


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """Instances that serve models of one size, each loading at `dram_bytes_per_s` from DRAM, its own or the pool's.

    `num_models` can be switched between; a local cache holds one, the pool holds all.
    """

    model_bytes: float
    num_instances: int
    num_models: int
    dram_bytes_per_s: float

    @property
    def fetch_s(self) -> float:
        """One model from the object store, with nobody beside."""
        return self.model_bytes / OBJECT_STORE_BYTES_PER_S.value

    @property
    def warm_s(self) -> float:
        """One model from DRAM."""
        return self.model_bytes / self.dram_bytes_per_s

    def cold_start_s(self, strategy: Strategy) -> float:
        """All instances at once, nothing cached: the pool fetches once for all, the others share the bucket."""
        return self.fetch_s * (1 if strategy is Strategy.POOL else self.num_instances)

    def dram_overhead(self, strategy: Strategy) -> int:
        """DRAM taken by one model served by all instances, in models."""
        return {Strategy.NONE: 0, Strategy.LOCAL: self.num_instances, Strategy.POOL: 1}[strategy]

    def switch_hit_rate(self, strategy: Strategy) -> float:
        """Chance that a model drawn evenly from all is in DRAM already."""
        return {Strategy.NONE: 0.0, Strategy.LOCAL: 1 / self.num_models, Strategy.POOL: 1.0}[strategy]

    def mean_switch_s(self, strategy: Strategy) -> float:
        """One instance loads a model drawn evenly from all."""
        hit_rate = self.switch_hit_rate(strategy)
        return hit_rate * self.warm_s + (1 - hit_rate) * self.fetch_s
