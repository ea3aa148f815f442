"""Time of a step or pass, by operator: how long each is busy, and how much of that the step waits for."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field


class StepTime(Struct, frozen=True):
    """Seconds by operator. `exposed_s` sums to the length; what is hidden behind other work is busy but not exposed."""

    busy_s: dict[str, float] = field(default_factory=dict[str, float])
    exposed_s: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def seconds(self) -> float:
        return sum(self.exposed_s.values())

    def times(self, count: float) -> StepTime:
        """The same, `count` times in a row."""
        return StepTime(
            {name: count * seconds for name, seconds in self.busy_s.items()},
            {name: count * seconds for name, seconds in self.exposed_s.items()},
        )


def one_after_another(busy_s: dict[str, float]) -> StepTime:
    """Nothing is hidden."""
    return StepTime(busy_s, dict(busy_s))


def behind(front_s: dict[str, float], hidden_s: dict[str, float], cover_s: float) -> StepTime:
    """`hidden_s` runs while `front_s` does; the step waits for what lasts longer than `cover_s`, in proportion."""
    total_s = sum(hidden_s.values())
    left = max(0.0, 1.0 - cover_s / total_s) if total_s else 0.0
    waited = {name: left * seconds for name, seconds in hidden_s.items() if left}
    return StepTime(front_s | hidden_s, front_s | waited)


def total(parts: Iterable[StepTime]) -> StepTime:
    """Parts that follow each other; what takes no time is left out."""
    busy_s: dict[str, float] = {}
    exposed_s: dict[str, float] = {}
    for part in parts:
        for into, seconds_by_name in ((busy_s, part.busy_s), (exposed_s, part.exposed_s)):
            for name, seconds in seconds_by_name.items():
                if seconds:
                    into[name] = into.get(name, 0.0) + seconds
    return StepTime(busy_s, exposed_s)
