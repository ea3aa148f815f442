"""The supernodes and clusters: one file per family of them, with everything that is known of each on its sheet.

Reading order: `supernode` (what one is), `part_power`, `wiring` and `published` (what a sheet says besides), `sheet`
(all of it beside each other, and the catalog), then the data in `cloudmatrix`, `gb200_nvl72` and `hopper`; `totals`
follow from them. A new file with a tuple `SHEETS` is found by itself;
`tests/exercises/test_chip_and_cluster.py` shows one.
"""
