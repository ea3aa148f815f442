"""The words that components say to each other: messages, their codec, the component contract and the errors.

Reading order: `component`, `addresses`, `messages` (a request's way), `finish`, `errors`; then `cache_messages` and
`operations`, and `codec`; for live running `envelope` and `hosting`.
"""
