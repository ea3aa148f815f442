"""The policies of other systems, each family in its own file; to import this registers them all."""

from scheduler.policies.routing import aibrix, dynamo, llmd, predictive, ray_serve, sglang, xllm

__all__ = ["aibrix", "dynamo", "llmd", "predictive", "ray_serve", "sglang", "xllm"]
