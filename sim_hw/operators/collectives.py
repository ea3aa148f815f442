"""Collectives between ranks: how long each lasts on one rank, seconds."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from sim_hw.chips.fit import ChipFit, CollectiveFit
from sim_hw.clusters.supernode import Memory, Operation, Reach, Supernode
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane

ALL_REDUCE_FIXED_S: Final = Figure(
    10e-6,
    "s",
    "assumed: one kernel with a barrier before and one behind, as serving engines reduce small tensors within a node",
    Confidence.ESTIMATE,
)
"""Of a decode step, whose bytes are few. No row of the calibration has an all-reduce in it."""

CollectiveName = Literal["dispatch", "combine"]


class ExpertAllToAll(Struct, frozen=True):
    """Dispatch and combine of one layer on `ep` ranks; `messages_per_row` of them get a row of `hidden` elements."""

    cluster: Supernode
    fit: ChipFit
    ep: int
    hidden: int
    messages_per_row: float
    stride: int = 1
    """Ranks that share an expert: the next of `ep` is so many ranks away."""

    def message_bytes(self, name: CollectiveName) -> float:
        """Payload of one message: a quantised hidden state and its scale on the way out, BF16 on the way back."""
        if name == "combine":
            return 2.0 * self.hidden
        return self.cluster.defaults.precision.bytes_per_element * self.hidden + self.fit.dispatch.scale_bytes.value

    def payload_bytes(self, name: CollectiveName, rows: float) -> float:
        """Sent by one rank with `rows` token rows."""
        return rows * self.messages_per_row * self.message_bytes(name)

    def seconds(self, name: CollectiveName, rows: float) -> float:
        """On the slowest rank. Nothing for a single rank."""
        if self.ep == 1:
            return 0.0
        fit: CollectiveFit = getattr(self.fit, name)
        wire_bytes = self.payload_bytes(name, rows) * (1.0 - package_share(self.cluster, self.ep, self.stride))
        far_s = far_share(self.cluster, self.ep * self.stride) * (fit.far_s.value + rows * fit.far_row_s.value)
        return fit.fixed_s.value + wire_bytes / (fit.line_share.value * self.link_bytes_per_s()) + far_s

    def link_bytes_per_s(self) -> float:
        """Line rate of a rank: of scale-up only where it joins all ranks and the software uses it."""
        is_scale_up = self.fit.all_to_all_plane is Plane.UB and _is_joined(self.cluster, self.ep * self.stride)
        die = self.cluster.chip.die
        return die.scale_up_bytes_per_s.value if is_scale_up else die.scale_out_bytes_per_s.value


class SidesExchange(Struct, frozen=True):
    """Dispatch and combine between `senders` dies of attention and `receivers` of experts, which share no node."""

    cluster: Supernode
    fit: ChipFit
    senders: int
    receivers: int
    hidden: int
    messages_per_row: float

    def seconds(self, name: CollectiveName, rows: float) -> float:
        """For `rows` token rows of each sender, on the side with fewer dies: each of its lines has more to move."""
        fit: CollectiveFit = getattr(self.fit, name)
        busiest_rows = rows * max(1.0, self.senders / self.receivers)
        between = ExpertAllToAll(
            self.cluster, self.fit, self.senders + self.receivers, self.hidden, self.messages_per_row
        )
        sent_s = between.payload_bytes(name, busiest_rows) / (fit.line_share.value * between.link_bytes_per_s())
        return fit.fixed_s.value + sent_s + fit.far_s.value + busiest_rows * fit.far_row_s.value


def package_share(cluster: Supernode, ep: int, stride: int = 1) -> float:
    """The share of a rank's messages that stay in its package, on itself or its other die: none of the wire's time.

    Ranks lie `stride` dies apart.
    """
    return min(1.0, max(1.0, cluster.chip.num_dies.count / stride) / ep)


def far_share(cluster: Supernode, ep: int) -> float:
    """The share of a rank's messages that leave its node when ranks fill nodes one after another."""
    return max(0.0, 1.0 - cluster.npus_per_node.count * cluster.chip.num_dies.count / ep)


def distinct_nodes(cluster: Supernode, ep: int, messages_per_row: float) -> float:
    """Expected number of other nodes that a row has to reach, its experts lying at random on `ep` ranks."""
    nodes = max(1.0, ep / (cluster.npus_per_node.count * cluster.chip.num_dies.count))
    return nodes * (1.0 - (1.0 - 1.0 / nodes) ** messages_per_row) * (1.0 - 1.0 / nodes)


def gather_s(cluster: Supernode, ranks: int, bytes_in_all: float, stride: int = 1) -> float:
    """Each rank reads what the others hold, `bytes_in_all` together; ranks lie `stride` dies apart."""
    return bytes_in_all * (1.0 - 1.0 / ranks) / _scale_up_bytes_per_s(cluster, Operation.READ, ranks * stride)


def all_to_all_s(cluster: Supernode, ranks: int, bytes_per_rank: float) -> float:
    """Each rank writes an equal part of its `bytes_per_rank` to every rank."""
    return bytes_per_rank * (1.0 - 1.0 / ranks) / _scale_up_bytes_per_s(cluster, Operation.WRITE, ranks)


def reduce_scatter_s(cluster: Supernode, ranks: int, num_bytes: float) -> float:
    """Each of `ranks` ranks ends with the sum of a part of the `num_bytes` that all have."""
    return all_to_all_s(cluster, ranks, num_bytes)


def send_s(cluster: Supernode, ranks: int, num_bytes: float) -> float:
    """One rank to another, `ranks` ranks away."""
    return num_bytes / _scale_up_bytes_per_s(cluster, Operation.WRITE, ranks)


def all_reduce_s(cluster: Supernode, ranks: int, num_bytes: float) -> float:
    """A ring over `ranks` ranks: every byte is sent twice but for the last part."""
    return 2.0 * all_to_all_s(cluster, ranks, num_bytes)


def _scale_up_bytes_per_s(cluster: Supernode, operation: Operation, ranks: int) -> float:
    """What a rank was measured to move, or the line rate of the network that joins the ranks."""
    reach = Reach.OTHER_NODE if far_share(cluster, ranks) else Reach.SAME_NODE
    for access in cluster.ub_accesses:
        if (access.memory, access.operation, access.reach) == (Memory.NPU, operation, reach):
            return access.bytes_per_s.value
    die = cluster.chip.die
    return die.scale_up_bytes_per_s.value if _is_joined(cluster, ranks) else die.scale_out_bytes_per_s.value


def _is_joined(cluster: Supernode, ranks: int) -> bool:
    """By the scale-up network."""
    return ranks <= cluster.chip.scale_up_domain_npus.count * cluster.chip.num_dies.count
