"""The fabric: transfers over the links of three planes, which they share with expert traffic and with others.

Reading order: `fabric` (the component), `routes` (which links a transfer takes), `transfer`; then the link models:
`rank_links` (KV transfers, one number for each rank), `pool_links` over `shared_links` (any flows) over `max_min` (fair
shares); then what flows beside: `expert_load` (an instance's side), `expert_traffic` (the fabric's), `background`.
"""
