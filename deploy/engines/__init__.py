"""One emulated instance as a server of its own, which speaks as a vLLM server does (docs/serving/engines.md).

Begin with `serve`, which runs engines until they are told to end. `engine` is one of them: core, instance and fabric on
one event loop, without Ray. `service` answers its HTTP routes, the table of which is in `routes`. `kv_events`,
`kv_blocks` and `publisher` tell what its prefix cache holds; `recorder` writes its requests as a trace.
"""
