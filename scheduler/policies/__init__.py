"""The choices, each a small class in a catalog.

Reading order: `view` (what a policy sees), `registry` (how it becomes known), `routing.load_based`; then the other
families in `routing`, which a run that names none of them does not import; `admission`, `ordering`, `flow_control`.
"""

from scheduler.policies.registry import ROUTING, check_routing_policy, make_routing_policy, routing_policy
from scheduler.policies.routing import load_based as _load_based  # registers its policies

__all__ = ["ROUTING", "check_routing_policy", "make_routing_policy", "routing_policy"]

del _load_based
