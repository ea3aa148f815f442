"""How others read it: families, Prometheus text, and the names of other exporters."""
