"""One operator on one rank: its work, where its experts lie, how long it takes.

Reading order: `operating_point` (the question), `layout`, `operator`, `attention` and `ffn`, `roofline`, `collectives`;
`fitted` has every number that is neither in the catalogue nor derived, `rivals` those that fit as well.
"""
