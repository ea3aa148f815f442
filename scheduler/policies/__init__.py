"""The choices, each a small class behind one registry.

Reading order: `view` (what a policy sees), `registry`, `load_based`; then the families of other systems.
"""

from scheduler.policies import aibrix as _aibrix  # each registers its policies
from scheduler.policies import dynamo as _dynamo
from scheduler.policies import llmd as _llmd
from scheduler.policies import load_based as _load_based
from scheduler.policies import predictive as _predictive
from scheduler.policies import ray_serve as _ray_serve
from scheduler.policies import sglang as _sglang
from scheduler.policies import xllm as _xllm
from scheduler.policies.registry import check_routing_policy, make_routing_policy, routing_policy, routing_policy_names

__all__ = ["check_routing_policy", "make_routing_policy", "routing_policy", "routing_policy_names"]

del _aibrix, _dynamo, _llmd, _load_based, _predictive, _ray_serve, _sglang, _xllm
