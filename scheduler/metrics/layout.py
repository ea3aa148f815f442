"""What does not change while a system lives: its instances, hosts, chips and capacities, and what is exported of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from scheduler.metrics.facility import FREE, ONLY_NPUS, FacilityCurves, Ground, Prices, deal_npus
from scheduler.protocol.fabric_messages import Plane

Role = Literal["prefill", "decode", "aggregated"]
"""What an instance does: compute prompts, decode, or both in the same steps."""

StageName = Literal["prefill", "decode"]


def is_of_stage(role: Role, stage: StageName) -> bool:
    """Whether instances of a role are of a stage: an aggregated instance is of both, after all others of each."""
    return role == stage or role == "aggregated"


class LiveInstance(Struct, frozen=True):
    """An instance that is watched, in one of the supernodes. `kv_capacity_tokens`: KV tokens that all its dies hold.

    Where instances come and go, `first_npu` is the first of its NPUs, and it may not be of the plan, `is_planned`: it
    is there when somebody starts it.
    """

    address: str
    role: Role
    num_npus: int
    kv_capacity_tokens: int
    supernode: int = 0
    first_npu: int | None = None
    is_planned: bool = True


class Chip(Struct, frozen=True):
    """What the NPUs of a supernode are, as an exporter of their maker would tell it.

    `maker` is "ascend" or "nvidia", or empty where nobody knows. A package has `num_dies` devices of `hbm_bytes` each,
    of which an engine takes `held_share` when it comes up; its power lies between `idle_w` and `tdp_w`.
    """

    maker: str
    title: str
    num_dies: int
    hbm_bytes: float
    held_share: float
    idle_w: float
    tdp_w: float


class WatchedSupernode(Struct, frozen=True):
    """A supernode that is watched: what it is and where it stands. Those of a fleet may be of several clusters.

    `num_npus` are all of its NPUs, also those that no instance has; of the only one it need not be known. `first_die`:
    the number of its first die, counted over all supernodes. Under the names of exporters of chips stands who has a
    `chip`.
    """

    ground: Ground
    num_npus: int = 0
    cluster: str = ""
    chip: Chip | None = None
    first_die: int = 0

    @property
    def chip_title(self) -> str:
        """What its NPUs are called."""
        return self.chip.title if self.chip else ""


class Layout(Struct, frozen=True, eq=False):
    """What does not change while the system lives; compared by identity, so that what is made from it can be kept.

    Within one role instances are in the core's order. NPUs are numbered through over all `supernodes` and dealt out to
    the instances of each in their order; nodes are numbered in the order of NPUs, racks in that of nodes. `hosts` maps
    the name of each process to the addresses of the workers in it. `kv_block_tokens`: tokens of a KV block. `names` are
    the schemes under which it is exported (`scheduler.metrics.export.names`); those of the exporter of a maker's chips
    tell of supernodes with a `chip` of that maker.
    `plane_bytes_per_s`: what all ends of each plane carry together when no part is broken, one entry per `Plane`.
    `curves` tell what is drawn beside the NPUs, `prices` what it costs. `has_prefix_cache`: prompts are looked up in
    some cache. `num_cache_servers`: nodes whose memory holds the cache pool. `classes`: names of the request classes
    that the system was brought up with. `kv_bytes_per_token`: what a token of KV takes in the cache pool.
    """

    version: str
    instances: tuple[LiveInstance, ...]
    hosts: Mapping[str, Sequence[str]]
    supernodes: tuple[WatchedSupernode, ...]
    kv_block_tokens: int = 128
    model: str = ""
    names: tuple[str, ...] = ("own",)
    plane_bytes_per_s: tuple[float, ...] = (0.0,) * len(Plane)
    curves: FacilityCurves = ONLY_NPUS
    prices: Prices = FREE
    has_prefix_cache: bool = True
    num_cache_servers: int = 0
    classes: tuple[str, ...] = ()
    kv_bytes_per_token: int = 0

    def stands_in(self, instance: LiveInstance) -> WatchedSupernode:
        """The supernode of an instance."""
        return self.supernodes[instance.supernode]

    @property
    def shares_npus(self) -> bool:
        """Whether an NPU may be one instance's now and another's later."""
        return any(one.first_npu is not None for one in self.instances)

    def npus(self) -> list[range]:
        """The numbers of the NPUs of each instance."""
        first_npus = [one.ground.first_npu for one in self.supernodes]
        dealt = deal_npus(((one.supernode, one.num_npus) for one in self.instances), first_npus)
        return [
            in_order if one.first_npu is None else range(one.first_npu, one.first_npu + one.num_npus)
            for one, in_order in zip(self.instances, dealt, strict=True)
        ]
