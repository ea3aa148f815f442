"""What the hardware is: chips, supernodes and their lines, as data with sources, and the watts of a chip.

Reading order: `chip` and `supernode`; their data in `chips` and `supernodes`; `description` (a user's own).
"""
