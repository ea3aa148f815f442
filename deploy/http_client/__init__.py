"""An outside client of an OpenAI interface that plays a trace: what `supernode replay TRACE --live --via http` is.

The sources of `scheduler.sources` say when which request is sent, as in any other replay; only who hears them differs:
`front` stands in the core's place and notes in a request table what a client can see, `streams` sends one request and
reads its answer, `loop` drives both on the wall clock. `token_ids` makes prompts, `service` finds whom to ask, `replay`
puts all together into `result`. Nothing here knows the scheduler.
"""
