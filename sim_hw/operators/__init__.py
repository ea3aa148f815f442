"""One operator on one rank: its work, where its experts lie, how long it takes, and how sure that is.

Reading order: `operating_point` (the question), `layout`, `operator`, `attention` and `ffn`, `roofline`, `collectives`,
`error_bar`. What is fitted stands on the sheet of the chip (`sim_hw.chips`).
"""
