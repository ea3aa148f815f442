"""What outlives the process that serves: requests that were accepted, and what came of those with an `Idempotency-Key`.

`records` are the records and how they are written, `file` keeps them in a file of bounded size, `reading` reads one,
checks and repairs it. `tickets` are who waits for what, `resume` is what a client says that comes again, `kept` finds
the request that it means, and `book` puts these together.
"""
