"""The choices, each a small class behind one registry.

Reading order: `view` (what a policy sees), `registry`, `load_based`; then `families`, which a run that names none of
them does not import.
"""

from scheduler.policies.registry import check_routing_policy, make_routing_policy, routing_policy, routing_policy_names
from scheduler.policies.routing import load_based as _load_based  # registers its policies

__all__ = ["check_routing_policy", "make_routing_policy", "routing_policy", "routing_policy_names"]

del _load_based
