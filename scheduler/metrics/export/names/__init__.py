"""The names under which others know the same figures, so that dashboards made for them show an emulated system.

Begin with `schemes`: which naming schemes there are and what a layout's families are. `vllm` tells each instance as an
engine of a vLLM server, `ascend` and `dcgm` each NPU as the exporter of its maker does, `genai` the requests as
OpenTelemetry's conventions do. The names of our own stand with what they show, in `scheduler.metrics.subjects`.
Labels, types and buckets are exactly theirs; what is not modelled is left out rather than made up.
"""
