"""Calibration of the hardware model from a user's own measurements.

Reading order: `measurement` (what one says of which operating point), `rows` and `bench_results` (files of them),
`least_squares` (the arithmetic), `calibrate` (constants with their spread from measurements), `profile` (the file that
every command takes), `advice` (what to measure next), `page`.
"""
