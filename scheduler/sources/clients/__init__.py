"""Clients that wait: who has what in flight, and what comes after what has ended.

`groups` says how many clients there are and how long they think, `request_graph` which request waits for which,
`supply` hands out requests as they become ready, `gates` hold how many are in flight, and `client_source` is the
component that brings them together.
"""
