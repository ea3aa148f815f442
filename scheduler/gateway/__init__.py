"""The ways in: trace readers and writers, synthetic workloads, and the component that plays them."""
