"""The scheduler's state machine.

Reading order: `lifecycle`, `request_table`, `fleet`, `state`; then `scheduler`, whose methods follow a request's life,
with the parts that it hands over to: `prefills`, `reservations`, `kv_transfers`, `decodes`. Rooms: `routing` (who is
chosen), `recovery` (what goes wrong), `estimates` (what is learned from reports), `guests` (who listens).
"""
