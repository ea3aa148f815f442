"""How a live system stands: `totals` feeds the accounts of all subjects, `status` says a snapshot to people."""
