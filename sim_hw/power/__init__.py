"""Watts: of a chip by its work, of all parts of a supernode, of the building around it.

Reading order: `chip_power` (by utilisation), `clock_scaling`, `phase_power` (by phase and batch); `power_tree`
(parts), `estimates`, `supply` (losses), `facility_draw` (watts at some load of the NPUs), `sites`; `published` (totals
and ratios that were published, beside ours).
"""
