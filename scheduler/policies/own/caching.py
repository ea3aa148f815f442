"""A cache policy of a user's own, as the core's words for it: what it leaves out is as least recently used has it."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from operator import index
from typing import Any, Final

from scheduler.policies.failures import BrokenOffError, PolicyFailedError, PolicyFailures
from scheduler.policies.own.adapters import Ask, shown
from scheduler.protocol.cache_policy import NEVER_FETCHED, CachedSession, CachePolicy, CacheUse
from scheduler.protocol.errors import ConfigError

METHODS: Final = ("rank(self, use)", "keep_ns(self, session)", "fetch_ns(self, session)")


class OwnCaching(CachePolicy):
    """A class with any of `METHODS`; when one fails, what least recently used would say stands in for it."""

    def __init__(self, policy: Any, ask: Ask) -> None:
        self.reads_sessions = _flag(policy, "reads_sessions", ask.name, usual=True)
        self.expired_first = _flag(policy, "expired_first", ask.name, usual=False)
        self._failures: Final = PolicyFailures()
        self._policy: Final = policy
        self._ask: Final = ask
        self._ranks: Final = hasattr(policy, "rank")
        self._keeps: Final = hasattr(policy, "keep_ns")
        self._fetches: Final = hasattr(policy, "fetch_ns")

    @property
    def failures(self) -> tuple[int, str]:
        """So far."""
        return self._failures.count, self._failures.first_error

    def rank(self, use: CacheUse) -> float:
        """What the class says, 0 if it says nothing."""
        return self._asked(self._rank, use, 0.0) if self._ranks else 0.0

    def keep_ns(self, session: CachedSession) -> int:
        """What the class says, not at all if it says nothing."""
        return self._asked(self._keep_ns, session, 0) if self._keeps else 0

    def fetch_ns(self, session: CachedSession) -> int:
        """What the class says, never if it says nothing."""
        return self._asked(self._fetch_ns, session, NEVER_FETCHED) if self._fetches else NEVER_FETCHED

    def _asked(self, call: Callable[[Any], Any], about: object, otherwise: float) -> Any:
        try:
            return self._ask(call, about)
        except PolicyFailedError as error:
            self._failures.add(str(error))
        except BrokenOffError:
            pass
        return otherwise

    def _rank(self, use: CacheUse) -> float:
        method = self._policy.rank
        rank: object = method(use)
        try:
            number = float(rank)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError):
            number = float("nan")
        if isnan(number):
            raise self._ask.failed(method, f"rank() returned {shown(rank)}; return a number")
        return number

    def _keep_ns(self, session: CachedSession) -> int:
        return self._time(self._policy.keep_ns, session, least=0)

    def _fetch_ns(self, session: CachedSession) -> int:
        return self._time(self._policy.fetch_ns, session, least=NEVER_FETCHED)

    def _time(self, method: Any, session: CachedSession, *, least: int) -> int:
        answer: object = method(session)
        try:
            time_ns = index(answer)  # pyright: ignore[reportArgumentType]
        except TypeError:
            time_ns = least - 1
        if not least <= time_ns < 2**62:
            what = f"{method.__name__}() returned {shown(answer)}; return nanoseconds as a whole number from {least}"
            raise self._ask.failed(method, what)
        return time_ns


def _flag(policy: Any, flag: str, name: str, *, usual: bool) -> bool:
    value: object = getattr(policy, flag, usual)
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: {flag} is {shown(value)}; write True or False")
    return value
