"""The capacity planner: the smallest plan that keeps an SLO on a trace.

Data flow: `question` is what was asked; `demand` what the trace needs of any system; `shapes` which sizes of instances
a cluster offers, and from the cost model alone how many of each are needed at least; `search` finds the cheapest counts
of a shape, told for each try whether it keeps the SLO; `planner` tries by replaying, short traces first, all shapes in
step; `answer` and `page` say what came of it.
"""
