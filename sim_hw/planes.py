"""The networks of a supernode."""

from __future__ import annotations

from enum import StrEnum


class Plane(StrEnum):
    """The three networks of a supernode, by the names they have on CloudMatrix384."""

    UB = "ub"
    """Scale-up; NVLink on NVIDIA hardware."""
    RDMA = "rdma"
    """Scale-out."""
    VPC = "vpc"
    """The data centre's own: storage and management."""
