"""Routers of others, unmodified, in front of emulated engines: `make engines` (docs/serving/engines.md).

`processes` starts engines and routers, `traffic` is what clients send through a router, `proofs` what must come of it.
"""
