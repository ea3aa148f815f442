"""Clients that wait: who has what in flight, and what comes after what has ended.

- `client_source`: start here; the component that asks as soon as a request is ready and a client of its class is free
- `groups`: how many clients there are and how long they think; `gates`: which of them are free, and when
- `supply`: where clients find their next request; `row_supply`: rows of a trace in its order; `graph_supply`: rows that
  wait for others, as a `request_graph` says, in the order that `ready_queue` keeps
- `play`: the source of a trace, made of these; `log`: what it leaves of a run
"""
