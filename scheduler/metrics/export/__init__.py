"""How others read a snapshot: Prometheus text (`exposition`), prometheus_client (`registry`), simulated scrapes of a
run on the virtual clock, and in `names` the schemes of other exporters."""
