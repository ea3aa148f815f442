"""The electrical side of a supernode: all that draws power, supplies and their losses, building and site.

Reading order: `power_tree` (parts), `supply` (losses), `facility_draw` (watts at some load of the NPUs), `sites`,
`published` (totals and ratios that were published, beside ours).
"""
