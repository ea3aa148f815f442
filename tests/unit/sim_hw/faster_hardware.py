"""Clusters that do not exist: known ones, made faster or slower."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from sim_hw.chips.chip import PeakRates
from sim_hw.clusters.supernode import Supernode
from sim_hw.figure import Figure


def scaled(figure: Figure, factor: float) -> Figure:
    return replace(figure, value=factor * figure.value)


def with_chip(cluster: Supernode, flops: float = 1.0, hbm_bandwidth: float = 1.0) -> Supernode:
    """`cluster` with so many times the FLOP/s and HBM bandwidth."""
    die = cluster.chip.die
    rates = asdict(die.peak).items()
    peak = PeakRates(**{name: figure and scaled(figure, flops) for name, figure in rates})
    faster = replace(die, peak=peak, hbm_bytes_per_s=scaled(die.hbm_bytes_per_s, hbm_bandwidth))
    return replace(cluster, chip=replace(cluster.chip, die=faster))
