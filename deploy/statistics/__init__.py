"""How sure the figures of runs are: intervals over seeds and over parts of one run, and verdicts on differences.

`intervals` is the arithmetic; `seeds` and `batches` are what it is applied to, several runs and one; `verdicts` tells
which of two set-ups is better, if that is shown; `run_quality` warns of runs whose figures mean little.
"""
