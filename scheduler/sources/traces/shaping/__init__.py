"""What is done to a stream of requests after it was read, in this order: `timing` (order, window, spreading),
`assumed_sharing` (ids for prompts that have none), `copies` (superposition, and the rate of all).
"""
