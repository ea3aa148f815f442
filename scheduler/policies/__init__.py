"""The choices, each a small class behind one registry. Reading order: `view`, `registry`, `routing`."""

from scheduler.policies import routing as _routing  # registers the built-in policies
from scheduler.policies.registry import make_routing_policy, routing_policy, routing_policy_names

__all__ = ["make_routing_policy", "routing_policy", "routing_policy_names"]

del _routing
