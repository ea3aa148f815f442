"""The OpenAI interface of a standing cluster, in the event loop of its control plane.

Begin with `routes`, which lists what is served; `completions` follows one request from its body to its answer.
`bodies` are what clients send, `prompts` and `answers` make tokens of text and text of tokens, `exchange` hands
requests to the session that runs and brings their tokens back, `event_stream` writes them. `service` puts it together.
"""
