"""Clusters by name with the constants of a calibration; without one, as they are built in or described."""

from __future__ import annotations

from collections.abc import Callable

from deploy.hardware.lookup import load_cluster
from sim_hw.clusters.sheet import find_supernode
from sim_hw.clusters.supernode import Supernode


def load_calibrated(name: str, calibration: str | None) -> Supernode:
    """As `load_cluster`, with the constants of a file that `supernode calibrate` wrote, if one is given."""
    cluster = load_cluster(name)
    if not calibration:
        return cluster
    # What reads it takes a while to import, and most questions are asked without one.
    from deploy.calibration.profile import read_profile

    return read_profile(calibration).applied(cluster)


def calibrated_clusters(calibration: str | None) -> Callable[[str], Supernode]:
    """What finds built-in supernodes: those of chips that the calibration is of with its constants."""
    if not calibration:
        return find_supernode
    from deploy.calibration.profile import read_profile

    profile = read_profile(calibration)

    def find(name: str) -> Supernode:
        cluster = find_supernode(name)
        return profile.applied(cluster) if profile.of(cluster.chip.name) else cluster

    return find
