"""The ways in: trace readers and writers, synthetic workloads, and the component that plays them.

Reading order: `arrivals` (what every trace yields), `readers` (files), `synthetic` (generated), `source` (the
component), `writers`, `describe`.
"""
