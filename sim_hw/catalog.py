"""The hardware, as data: Ascend 910C and the CloudMatrix384 supernode. Bandwidths are one direction, FLOP/s are dense.

Sources: CM = CloudMatrix paper, arXiv 2506.12708 (v2, v3 its versions); MS = Ascend/msmodeling, tensor_cast/device.py;
CITIC = CITIC Securities note of 25 June 2025; HC2025 = Huawei Connect 2025 keynote as reported by stcn.com; A3 = Huawei
Atlas 900 A3 SuperPoD page; SA = SemiAnalysis article on CloudMatrix 384, by way of reportify.cn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sim_hw.figure import Confidence, Figure


class Plane(StrEnum):
    """The three networks of a supernode."""

    UB = "ub"
    RDMA = "rdma"
    VPC = "vpc"


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


@dataclass(frozen=True, slots=True)
class Die:
    """One compute die: one rank of expert or data parallelism."""

    aic_cores: Figure
    """Cube (matrix) cores."""
    aiv_cores: Figure
    """Vector cores."""
    fp16_flops: Figure
    bf16_flops: Figure
    int8_ops: Figure
    hbm_bytes: Figure
    hbm_bytes_per_s: Figure


@dataclass(frozen=True, slots=True)
class Npu:
    """One package, the unit that is counted, priced and powered."""

    name: str
    die: Die
    num_dies: Figure
    die_to_die_bytes_per_s: Figure
    tdp_w: Figure
    idle_w: Figure

    @property
    def bf16_flops(self) -> float:
        """Peak of the package, FLOP/s."""
        return self.num_dies.value * self.die.bf16_flops.value

    @property
    def int8_ops(self) -> float:
        """Peak of the package, operations/s."""
        return self.num_dies.value * self.die.int8_ops.value

    @property
    def hbm_bytes_per_s(self) -> float:
        """Peak of the package, B/s."""
        return self.num_dies.value * self.die.hbm_bytes_per_s.value


@dataclass(frozen=True, slots=True)
class PlanePort:
    """The raw line rate with which one endpoint is attached to a plane."""

    plane: Plane
    endpoint: Endpoint
    bytes_per_s: Figure


@dataclass(frozen=True, slots=True)
class UbAccess:
    """What one die was measured to reach over UB: sustained rate, and the latency of 512 B."""

    memory: Memory
    operation: Operation
    reach: Reach
    bytes_per_s: Figure
    latency_s: Figure


@dataclass(frozen=True, slots=True)
class Supernode:
    """A rack-scale machine of identical nodes."""

    name: str
    npu: Npu
    num_nodes: Figure
    npus_per_node: Figure
    cpus_per_node: Figure
    compute_racks: Figure
    network_racks: Figure
    ports: tuple[PlanePort, ...]
    ub_accesses: tuple[UbAccess, ...]
    price_usd: Figure
    provisioned_w: Figure
    """Provisioned for the whole supernode; an upper bound by design, never a measurement."""

    @property
    def num_npus(self) -> int:
        return self.num_nodes.count * self.npus_per_node.count

    @property
    def num_dies(self) -> int:
        return self.num_npus * self.npu.num_dies.count

    @property
    def num_racks(self) -> int:
        return self.compute_racks.count + self.network_racks.count

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


_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE
_CM_NETWORK = "CM v2 table 1"

ASCEND_910C = Npu(
    name="Ascend 910C",
    die=Die(
        aic_cores=Figure(24, "core", "CM v2, CM v3", _TWO),
        aiv_cores=Figure(48, "core", "CM v2, CM v3", _TWO),
        fp16_flops=Figure(376e12, "FLOP/s", "MS, CITIC", _TWO),
        bf16_flops=Figure(353.9e12, "FLOP/s", "MS; the peak implied by arXiv 2509.25224 agrees", _TWO),
        int8_ops=Figure(752e12, "OP/s", "MS; implied by the tok/s-per-TOPS column of CM v2 and v3", _TWO),
        hbm_bytes=Figure(64e9, "B", "CM v2, CITIC, HC2025", _TWO),
        hbm_bytes_per_s=Figure(1.6e12, "B/s", "CM v2, MS, HC2025 (MS reads 1.6 TiB/s)", _TWO),
    ),
    num_dies=Figure(2, "die", "CM v2, CM v3", _TWO),
    die_to_die_bytes_per_s=Figure(270e9, "B/s", "CM v2; The Register", _TWO),
    tdp_w=Figure(700, "W", "twice a 310-350 W 910B; range 620-800, no vendor figure", _ESTIMATE),
    idle_w=Figure(168, "W", "seven npu-smi readings in public repositories, 161-179 W", _TWO),
)
"""Two identical dies; FP16, BF16 and INT8, no native FP8."""


def _measured(
    memory: Memory,
    operation: Operation,
    reach: Reach,
    gigabytes_per_s: float,
    microseconds: float,
    confidence: Confidence,
) -> UbAccess:
    return UbAccess(
        memory=memory,
        operation=operation,
        reach=reach,
        bytes_per_s=Figure(gigabytes_per_s * 1e9, "B/s", _CM_NETWORK, confidence),
        latency_s=Figure(microseconds * 1e-6, "s", f"{_CM_NETWORK}, 512 B", _ONE),
    )


CLOUDMATRIX384 = Supernode(
    name="cloudmatrix384",
    npu=ASCEND_910C,
    num_nodes=Figure(48, "node", "CM v2, CM v3", _TWO),
    npus_per_node=Figure(8, "NPU", "CM v2, CM v3", _TWO),
    cpus_per_node=Figure(4, "CPU socket", "CM v2, CM v3", _TWO),
    compute_racks=Figure(12, "rack", "CM v2, CM v3, A3", _TWO),
    network_racks=Figure(4, "rack", "CM v2, CM v3, A3", _TWO),
    ports=(
        PlanePort(Plane.UB, Endpoint.DIE, Figure(196e9, "B/s", "7 ports x 28 GB/s; CM v2, MS, HC2025", _TWO)),
        PlanePort(
            Plane.UB, Endpoint.CPU, Figure(160e9, "B/s", "about, per socket; CM v2 and an A3-derived note", _TWO)
        ),
        PlanePort(Plane.RDMA, Endpoint.DIE, Figure(25e9, "B/s", "200 Gbit/s; CM v2, A3", _TWO)),
        PlanePort(Plane.VPC, Endpoint.NODE, Figure(50e9, "B/s", "400 Gbit/s, one Qingtian card; CM v2, CM v3", _TWO)),
    ),
    ub_accesses=(
        _measured(Memory.NPU, Operation.READ, Reach.SAME_NODE, 167, 1.2, _TWO),
        _measured(Memory.NPU, Operation.READ, Reach.OTHER_NODE, 164, 1.9, _TWO),
        _measured(Memory.NPU, Operation.WRITE, Reach.SAME_NODE, 137, 1.3, _ONE),
        _measured(Memory.NPU, Operation.WRITE, Reach.OTHER_NODE, 135, 2.1, _ONE),
        _measured(Memory.CPU_DRAM, Operation.READ, Reach.SAME_NODE, 151, 1.0, _ONE),
        _measured(Memory.CPU_DRAM, Operation.READ, Reach.OTHER_NODE, 147, 1.7, _ONE),
        _measured(Memory.CPU_DRAM, Operation.WRITE, Reach.SAME_NODE, 110, 1.1, _ONE),
        _measured(Memory.CPU_DRAM, Operation.WRITE, Reach.OTHER_NODE, 107, 1.9, _ONE),
    ),
    price_usd=Figure(
        8.2e6, "USD", "RMB 60 M; Financial Times via Benzinga, capacitymedia; press range 8.0-8.2 M", _TWO
    ),
    provisioned_w=Figure(559_378, "W", "SA; many repeats of one origin", _TWO),
)
