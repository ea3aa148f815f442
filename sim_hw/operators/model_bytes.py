"""What a whole model takes, however it is spread: what is loaded from storage."""

from __future__ import annotations

from sim_hw.clusters.supernode import ServingDefaults
from sim_hw.models.shape import ModelShape


def model_bytes(shape: ModelShape, defaults: ServingDefaults, has_mtp: bool) -> float:
    """Weights in the precisions of `defaults`, bytes."""
    layers = shape.moe_layers + (shape.mtp_layers if has_mtp else 0)
    num_experts = shape.routed_experts + (shape.experts.shared if shape.experts else 0)
    experts = layers * num_experts * shape.expert_parameters
    parameters = shape.total_parameters + (shape.mtp_parameters if has_mtp else 0)
    expert_bytes = (defaults.expert_weights or defaults.precision).bytes_per_element
    return (parameters - experts) * defaults.precision.bytes_per_element + experts * expert_bytes
