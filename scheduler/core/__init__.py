"""The scheduler's state machine. Reading order: `lifecycle`, `table`, `fleet`, `reservations`, `scheduler`,
`losses`."""
