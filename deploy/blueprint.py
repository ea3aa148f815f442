"""Builds the parts of a system from a configuration: the only place where control plane, workers and physics meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deploy.config import RunConfig
from deploy.fabric_config import FabricPlan
from deploy.plan import Plan, parse_plan
from scheduler.core.config import CACHE_ADDRESS, FABRIC_ADDRESS, CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.scheduler import Scheduler
from scheduler.metrics.snapshot import LiveInstance
from scheduler.policies import make_routing_policy
from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import Plane
from sim_hw.memory import KV_BLOCK_TOKENS, Role, kv_capacity_tokens, max_sequences_per_die
from sim_hw.models import DEEPSEEK_R1
from sim_hw.power import decode_power, prefill_power
from sim_hw.serving_cost import decode_cost, prefill_cost
from sim_hw.supernode import Endpoint
from sim_hw.supernode import Plane as CatalogPlane
from sim_hw.supernodes import CLOUDMATRIX384
from workers.cache_pool import CachePool
from workers.decode import DecodeConfig, DecodeInstance
from workers.fabric import Fabric, FabricConfig
from workers.prefill import PrefillConfig, PrefillInstance
from workers.prefix_cache import PrefixCache

_DIES_PER_NPU: Final = CLOUDMATRIX384.chip.num_dies.count


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One instance of the plan."""

    address: str
    role: Role
    num_npus: int


class Blueprint:
    """A configuration held against its hardware: names every part and makes any of them on its own.

    The virtual runtime makes all parts in one process; live, each Ray actor makes only what it hosts, from the same
    configuration. `block_tokens` is the trace's prefix block size.
    """

    def __init__(self, config: RunConfig, block_tokens: int) -> None:
        self.config = config
        self.block_tokens = block_tokens
        self.plan: Plan = parse_plan(config.plan, CLOUDMATRIX384.num_npus, CLOUDMATRIX384.num_nodes.count)
        self.prefill = [
            InstanceSpec(f"prefill-{index}", Role.PREFILL, npus) for index, npus in enumerate(self.plan.prefill_npus)
        ]
        self.decode = [
            InstanceSpec(f"decode-{index}", Role.DECODE, npus) for index, npus in enumerate(self.plan.decode_npus)
        ]
        if config.cache == "pool" and not self.plan.num_cache_servers:
            raise ConfigError(
                f"plan {config.plan!r} has no cache servers for --cache pool; add 48c or use --cache none"
            )

    @property
    def worker_addresses(self) -> list[str]:
        """Addresses of everything but the control plane, in the order of their construction."""
        pool = [CACHE_ADDRESS] if self.config.cache == "pool" else []
        return [FABRIC_ADDRESS, *pool, *(spec.address for spec in self.instances)]

    def live_instances(self) -> list[LiveInstance]:
        """The instances as those who watch a live system know them, in the order of the core."""
        return [
            LiveInstance(
                spec.address,
                "decode" if spec.role is Role.DECODE else "prefill",
                spec.num_npus,
                # Every rank of a prefill instance holds the same KV, every die of a decode instance its own.
                self._info(spec).max_sequence_tokens * (_num_dies(spec) if spec.role is Role.DECODE else 1),
            )
            for spec in self.instances
        ]

    @property
    def instances(self) -> list[InstanceSpec]:
        """All that account for NPUs, in the order in which NPUs are dealt out."""
        return [*self.prefill, *self.decode]

    def make_core(self) -> Scheduler:
        """The control plane's state machine."""
        config = self.config
        return Scheduler(
            SchedulerConfig(
                prefill=[self._info(spec) for spec in self.prefill],
                decode=[self._info(spec) for spec in self.decode],
                cache_mode=CacheMode(config.cache),
                cache_plane=Plane[config.cache_plane.upper()],
                max_open_requests=config.max_open_requests,
            ),
            make_routing_policy(config.policy),
            make_routing_policy(config.policy),
        )

    def make_worker(self, address: str, report_interval_ns: int = NEVER_NS, began_ns: int = 0) -> Component:
        """The worker of that address; one that is made within a run accounts from `began_ns`."""
        if address == FABRIC_ADDRESS:
            return Fabric(self._fabric_config())
        if address == CACHE_ADDRESS:
            return CachePool(self._cache_blocks(self.plan.num_cache_servers), self.block_tokens)
        for spec in self.prefill:
            if spec.address == address:
                return self._make_prefill(spec, began_ns)
        spec = next(spec for spec in self.decode if spec.address == address)
        return self._make_decode(spec, report_interval_ns, began_ns)

    def _info(self, spec: InstanceSpec) -> InstanceInfo:
        return InstanceInfo(spec.address, spec.num_npus, self._kv_blocks(spec) * KV_BLOCK_TOKENS)

    def _kv_blocks(self, spec: InstanceSpec) -> int:
        """KV blocks of one die; for prefill also of the instance, since each rank holds a full copy of the latent."""
        config = self.config
        try:
            tokens = kv_capacity_tokens(spec.role, spec.num_npus, config.mtp, config.kv_reserve_share)
        except ValueError as error:
            raise ConfigError(f"plan {config.plan!r}: {error}") from error
        return tokens // KV_BLOCK_TOKENS

    def _make_prefill(self, spec: InstanceSpec, began_ns: int) -> PrefillInstance:
        config = self.config
        cache = None
        if config.cache == "local":
            num_nodes = spec.num_npus / CLOUDMATRIX384.npus_per_node.count
            cache = PrefixCache(self._cache_blocks(num_nodes), self.block_tokens)
        return PrefillInstance(
            spec.address,
            PrefillConfig(config.prefill_tokens_per_npu * spec.num_npus, self._kv_blocks(spec)),
            prefill_cost(spec.num_npus, config.expert_balance),
            prefill_power(spec.num_npus, config.expert_balance),
            cache,
            began_ns=began_ns,
        )

    def _make_decode(self, spec: InstanceSpec, report_interval_ns: int, began_ns: int) -> DecodeInstance:
        config, cost = self.config, decode_cost(self.config.mtp)
        decode_config = DecodeConfig(
            num_dies=_num_dies(spec),
            blocks_per_die=self._kv_blocks(spec),
            slots_per_die=max_sequences_per_die(config.mtp),
            extent_blocks=config.kv_extent_blocks,
            fixed_ps=cost.fixed_ps,
            sequence_ps=cost.sequence_ps,
            kv_ps=cost.kv_ps,
            tokens_per_step_num=cost.tokens_per_step_num,
            tokens_per_step_den=cost.tokens_per_step_den,
            report_interval_ns=report_interval_ns,
        )
        return DecodeInstance(spec.address, decode_config, decode_power(spec.num_npus, config.mtp), began_ns=began_ns)

    def _cache_blocks(self, num_servers: float) -> int:
        block_bytes = self.block_tokens * self._kv_bytes_per_token()
        return int(self.config.cache_bytes_per_server * num_servers // block_bytes)

    def _kv_bytes_per_token(self) -> int:
        return int(DEEPSEEK_R1.kv_bytes_per_token(self.config.mtp))

    def _fabric_config(self) -> FabricConfig:
        num_layers = DEEPSEEK_R1.layers + (DEEPSEEK_R1.mtp_layers if self.config.mtp else 0)
        fabric = FabricPlan(
            [(spec.address, spec.num_npus) for spec in self.prefill],
            [(spec.address, spec.num_npus) for spec in self.decode],
            self.plan.num_cache_servers if self.config.cache == "pool" else 0,
            Plane[self.config.cache_plane.upper()],
        )
        return fabric.config(self._kv_bytes_per_token(), num_layers)


def _num_dies(spec: InstanceSpec) -> int:
    return spec.num_npus * _DIES_PER_NPU


def plane_capacity_bytes_per_s() -> dict[Plane, float]:
    """Line rate of all endpoints of each plane together, one direction."""
    node = CLOUDMATRIX384
    return {
        Plane.UB: node.num_dies * node.port(CatalogPlane.UB, Endpoint.DIE).bytes_per_s.value,
        Plane.RDMA: node.num_dies * node.port(CatalogPlane.RDMA, Endpoint.DIE).bytes_per_s.value,
        Plane.VPC: node.num_nodes.count * node.port(CatalogPlane.VPC, Endpoint.NODE).bytes_per_s.value,
    }
