"""Failures of policies in a result: what took the place of a policy must not pass for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.policies.failures import PolicyFailures


def failures_document(failures: Mapping[str, PolicyFailures]) -> dict[str, Any]:
    """Plain values for JSON: all in all, and by what a policy is asked for."""
    by_kind = {kind: {"count": one.count, "first_error": one.first_error or None} for kind, one in failures.items()}
    return {"total": sum(one.count for one in failures.values()), **by_kind}


def failed_text(failures: Mapping[str, PolicyFailures]) -> str:
    """For behind the policy's name; empty if none failed."""
    counts = ", ".join(f"{kind} {one.count:,} times" for kind, one in failures.items() if one.count)
    return f" (FAILED: {counts}; a fallback decided)" if counts else ""
