"""What a supernode is: identical nodes of one chip, the networks that join them, and how it is usually served on."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sim_hw.chips.chip import Chip, ExpertWeights, Precision
from sim_hw.clusters.part_power import PartPower, SupernodePower
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane


class Endpoint(StrEnum):
    """What a link rate is counted for."""

    DIE = "die"
    CPU = "cpu"
    NODE = "node"


class Memory(StrEnum):
    """Whose memory a die reaches over UB."""

    NPU = "npu"
    CPU_DRAM = "cpu_dram"


class Operation(StrEnum):
    """What a die does to that memory."""

    READ = "read"
    WRITE = "write"


class Reach(StrEnum):
    """Where that memory is, seen from the die."""

    SAME_NODE = "same_node"
    OTHER_NODE = "other_node"


class Overlap(StrEnum):
    """What communication of the expert layers hides behind; software of one and the same chip differs by it."""

    NONE = "none"
    SINGLE_BATCH = "single_batch"
    """Behind the batch's own computation: shared experts, parts of the down-projection."""
    TWO_BATCHES = "two_batches"
    """Behind the computation of a second micro-batch."""


class PlanePort(Struct, frozen=True):
    """The raw line rate with which one endpoint is attached to a plane."""

    plane: Plane
    endpoint: Endpoint
    bytes_per_s: Figure


class UbAccess(Struct, frozen=True):
    """What one die was measured to reach over UB: sustained rate, and the latency of 512 B."""

    memory: Memory
    operation: Operation
    reach: Reach
    bytes_per_s: Figure
    latency_s: Figure


class PartOf(StrEnum):
    """What a part is counted for."""

    NPU = "npu"
    NODE = "node"
    SUPERNODE = "supernode"


class PartKind(StrEnum):
    """What a part is, where a total is of interest."""

    SWITCH = "switch"
    LINK = "link"
    OPTICAL_MODULE = "optical_module"
    OTHER = "other"


class Part(Struct, frozen=True):
    """A component that computes nothing; `count` is per `part_of`. `plane`: the network that it belongs to."""

    title: str
    kind: PartKind
    part_of: PartOf
    count: Figure
    power: PartPower | None = None
    plane: Plane | None = None


class StageLayout(Struct, frozen=True):
    """One instance of a stage, prefill or decode."""

    num_npus: int
    ep: int
    """Ranks of expert parallelism; ranks are dies."""
    overlap: Overlap
    tp: int | None = None
    """Ranks that share attention, and so on, as in `sim_hw.operators.parallelism`; None: as that says."""
    expert_tp: int | None = None
    pp: int | None = None
    """Of prefill only."""
    cp: int | None = None


class ServingDefaults(Struct, frozen=True):
    """How a DeepSeek-like model is served on it unless the user says otherwise."""

    plan: str
    """Instances, such as 14x16p+1x160d+48c."""
    precision: Precision
    """Of weights and matrix products."""
    prefill: StageLayout
    decode: StageLayout
    source: str
    confidence: Confidence
    kv_precision: Precision = Precision.BF16
    """Of cached keys and values. Scores are computed in it where it is FP8, else in BF16."""
    expert_weights: ExpertWeights | None = None
    """None: in `precision`, as all else."""


class Supernode(Struct, frozen=True):
    """A rack-scale machine of identical nodes, or a cluster that is compared with one."""

    name: str
    title: str
    chip: Chip
    num_nodes: Figure
    npus_per_node: Figure
    cpus_per_node: Figure
    compute_racks: Figure
    network_racks: Figure
    price_usd: Figure
    provisioned_w: Figure
    """Provisioned for the whole supernode; an upper bound by design, never a measurement."""
    defaults: ServingDefaults
    other_ports: tuple[PlanePort, ...] = ()
    """Attachments besides those of a die, which the chip knows."""
    parts: tuple[Part, ...] = ()
    ub_accesses: tuple[UbAccess, ...] = ()
    power: SupernodePower | None = None

    @property
    def ports(self) -> tuple[PlanePort, ...]:
        """All attachments to planes."""
        die = self.chip.die
        return (
            PlanePort(Plane.UB, Endpoint.DIE, die.scale_up_bytes_per_s),
            PlanePort(Plane.RDMA, Endpoint.DIE, die.scale_out_bytes_per_s),
            *self.other_ports,
        )

    @property
    def num_npus(self) -> int:
        return self.num_nodes.count * self.npus_per_node.count

    @property
    def num_dies(self) -> int:
        return self.num_npus * self.chip.num_dies.count

    @property
    def num_cpus(self) -> int:
        return self.num_nodes.count * self.cpus_per_node.count

    @property
    def num_racks(self) -> int:
        return self.compute_racks.count + self.network_racks.count

    def num_endpoints(self, endpoint: Endpoint) -> int:
        """How many there are of what a port is counted for."""
        return {Endpoint.DIE: self.num_dies, Endpoint.CPU: self.num_cpus, Endpoint.NODE: self.num_nodes.count}[endpoint]

    def num_parts(self, part: Part) -> int:
        """How many there are of a part in the whole supernode."""
        owners = {PartOf.NPU: self.num_npus, PartOf.NODE: self.num_nodes.count, PartOf.SUPERNODE: 1}
        return owners[part.part_of] * part.count.count

    def num_parts_of(self, kind: PartKind) -> int:
        """How many parts of a kind there are in the whole supernode."""
        return sum(self.num_parts(part) for part in self.parts if part.kind is kind)

    def port(self, plane: Plane, endpoint: Endpoint) -> PlanePort:
        """The attachment of `endpoint` to `plane`. Raises LookupError if there is none."""
        for port in self.ports:
            if port.plane == plane and port.endpoint == endpoint:
                return port
        raise LookupError(f"{self.name} has no {endpoint} port on the plane {plane}")

    def ub_access(self, memory: Memory, operation: Operation, reach: Reach) -> UbAccess:
        """The measured UB access of that kind. Raises LookupError if it was not measured."""
        for access in self.ub_accesses:
            if (access.memory, access.operation, access.reach) == (memory, operation, reach):
                return access
        raise LookupError(f"{self.name} has no measured UB {operation} of {memory} on {reach}")
