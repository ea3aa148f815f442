"""Why a Ray cluster could not be joined, in one line: Ray tells it in several, with much that helps nobody."""

from __future__ import annotations

import re
from typing import Final

MAX_REASON_LENGTH: Final = 200

_STARTED_WITH: Final = re.compile(
    r"Version mismatch: The cluster was started with:\s*Ray: (?P<ray>\S+)\s*Python: (?P<python>\S+)\s*"
    r"This process on \S.*? was started with:\s*Ray: (?P<our_ray>\S+)\s*Python: (?P<our_python>\S+)",
    re.DOTALL,
)
"""Ray's own words (`ray/_private/utils.py: check_version_info`, 2.60)."""


def refusal(address: str, error: Exception, fix: str) -> str:
    """`error` is what joining the cluster raised; ends in what to do, `fix` unless something better is known."""
    text = str(error)
    if found := _STARTED_WITH.search(text):
        return (
            f"the cluster at {address} runs Ray {found['ray']} on Python {found['python']}, this process Ray "
            f"{found['our_ray']} on Python {found['our_python']}: they must be the same; use an environment with those"
        )
    line = " ".join(text.split())
    if "authentication" in line.lower() or "auth_token" in line.lower():
        return (
            f"the cluster at {address} wants a token, or another one; put it where Ray looks for it "
            f"(RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token)"
        )
    return f"cannot reach the cluster at {address}: {line[:MAX_REASON_LENGTH]}; {fix}"
