"""Many runs of one trace over a space of settings, as Ray tasks, kept as they come.

Data flow: `space` reads the file and yields points; `runs` makes each a run whose name is a digest of all that
determines its result; `store` knows which of them are done; `tasks` has Ray do the others; `front` finds the points
that no other beats; `page` and `plot` show them.
"""
