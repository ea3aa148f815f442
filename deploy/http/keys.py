"""Who is let in: keys that are compared in constant time, and known here only by their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from deploy.http.errors import HttpError

_BEARER: Final = "bearer "


class KeyRing:
    """Digests of all keys; with none of them everybody is let in."""

    def __init__(self, digests: Sequence[str]) -> None:
        self._digests = tuple(digests)

    def check(self, headers: Mapping[str, str]) -> None:
        """`HttpError` 401 unless `Authorization: Bearer KEY` or `X-API-Key: KEY` holds a key."""
        if not self._digests:
            return
        given = headers.get("Authorization", "")
        key = given[len(_BEARER) :] if given.lower().startswith(_BEARER) else headers.get("X-API-Key", "")
        digest = sha256(key.strip().encode("utf-8", "surrogateescape")).hexdigest()
        # Each is compared, so that the time tells nothing of which one was near.
        matches = [compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise HttpError(401, "no valid key was given: send Authorization: Bearer KEY", "invalid_api_key")
