"""The scheduler's state machine. Reading order: `lifecycle`, `ledger`, `fleet`, `reservations`, `scheduler`,
`losses`."""
