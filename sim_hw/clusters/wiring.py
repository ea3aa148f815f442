"""How the networks of a supernode are wired: what a topology is built from (`sim_hw.network.topologies`)."""

from __future__ import annotations

from msgspec import Struct

from sim_hw.clusters.supernode import PartOf
from sim_hw.figure import Figure


class ScaleUp(Struct, frozen=True):
    """The scale-up network: ports of a die are dealt in turn to the first-level switches of its node or supernode.

    `second_level`: second-level chips to each of which every first-level switch has one link; `links_per_cable` of
    these share an optical link. `second_level_ports`: of one such chip.
    """

    ports_per_die: Figure
    first_level: Figure
    scope: PartOf
    second_level: Figure | None = None
    second_level_ports: Figure | None = None
    links_per_cable: int = 1


class ScaleOut(Struct, frozen=True):
    """The RDMA network: a leaf has `ports_down` NPUs below it and as many links to the spines above."""

    ports_down: Figure
    num_spines: Figure


class Wiring(Struct, frozen=True):
    """Both networks."""

    scale_up: ScaleUp
    scale_out: ScaleOut
