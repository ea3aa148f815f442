"""Public traces: readers, writers, what a trace is like, and how it is reshaped."""
