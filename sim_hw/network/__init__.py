"""The networks of a supernode: links and parts, and what the links of an endpoint carry.

Reading order: `topology`, built by `topologies` from the wiring of a cluster; `lines` (what is left when parts fail);
`fabric_rates` (constant rates of whole planes).
"""
