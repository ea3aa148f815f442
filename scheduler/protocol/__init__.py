"""The words that components say to each other: messages, their codec, the component contract and the errors.

Reading order: `component`, `messages`, `finish`, `errors`, `codec`; for live running `envelope` and `hosting`.
"""
