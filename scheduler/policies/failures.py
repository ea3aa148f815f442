"""Failures of policies: what is counted of them, and how code of a user's own tells of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class PolicyFailures(Struct):
    """How often a policy failed, and the line on the first time, with file and line where it is code of one's own."""

    count: int = 0
    first_error: str = ""

    def add(self, error: str) -> None:
        """It failed once more."""
        if not self.count:
            self.first_error = " ".join(error.split())
        self.count += 1


FALLBACKS: Final = {
    "prefill": "those requests went where least was outstanding",
    "decode": "those requests went where least was outstanding",
    "admission": "those requests came in",
    "disaggregation": "those requests went to prefill instances",
    "order": "those requests went last",
    "cache": "the least recently used blocks went first",
}
"""What stands in for a policy that failed, by what it was asked for."""


def failure_lines(failures: Mapping[str, PolicyFailures]) -> list[str]:
    """A line for a person on each policy that failed."""
    return [
        f"the {asked_for} policy failed {one.count:,} times, first: {one.first_error}; {FALLBACKS[asked_for]}"
        for asked_for, one in failures.items()
        if one.count
    ]


class PolicyFailedError(Exception):
    """A policy of one's own failed in one call: the message names file and line. Whoever asked it has a fallback."""


class BrokenOffError(KeyboardInterrupt):
    """A call of a policy was broken off because the run is to end, which is no failure of the policy.

    A `KeyboardInterrupt`, so that no policy holds it by `except Exception`.
    """
