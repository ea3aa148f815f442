"""Benchmarks: whole processes, each beside a calibration loop. Run by `make bench`."""
