"""Where clients that are not ours come in: requests that are accepted one by one, and answers told token by token.

`gateway_source` is the source that they arrive by, `step_times` says when the tokens of a report came out, and
`token_streams` is the guest of the core that tells whoever waits for them. None of them knows a socket.
"""
