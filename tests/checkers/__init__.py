"""Checkers of the invariants, outside the code that they check: from messages, not from how they came about.

The list of invariants, each with the checker that holds it, is in docs/architecture.md.

- `checkers`: INV-1 to 5 and 10 to 12 over the journal of a whole run, and at every message
- `idleness`: INV-8, no engine idles while it has work that it would take
- `fabric_account`: INV-10 for one fabric, every transfer ends once
- `losing_checks`: what holds at the end of a run in which components are lost and parts fail, INV-7 among it
- `linear_energy`: energies of made-up engines, in whole joules, so that INV-11 is exact
"""
