"""The chips: one file per family of them, with everything that is known of each on its sheet.

Reading order: `chip` (what a chip is), `fit` (the numbers of its software and its power), `sheet` (all of that beside
each other, and the catalog of it), then the data in `ascend` and `nvidia`. A new file with a tuple `SHEETS` is found
by itself; `tests/exercises/test_chip_and_cluster.py` shows one.
"""
