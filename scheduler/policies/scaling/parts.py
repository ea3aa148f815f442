"""What several scaling policies do alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Final

from scheduler.policies.scaling_view import RoleSample, ScalingSample
from scheduler.protocol.errors import ConfigError

_LEAST: Final = 1e-9
"""A ratio this far beyond a whole number is that number."""


_MANY: Final = 1e9


def require_above_0(**options: float) -> None:
    """A `ConfigError` if an option is 0 by which something is divided."""
    for name, value in options.items():
        if not value:
            raise ConfigError(f"option {name}=0 wants instances without end; give a number above 0")


def require_below_1(**options: float) -> None:
    """A `ConfigError` if an option is no share."""
    for name, value in options.items():
        if value >= 1.0:
            raise ConfigError(f"option {name}={value:g} is no share; give a number below 1")


def whole(instances: float) -> int:
    """The least whole number of instances that is so many."""
    return -int(-(min(instances, _MANY) - _LEAST) // 1)


def there(sample: RoleSample) -> int:
    """Those that serve or will."""
    return sample.serving + sample.starting


def within(samples: Sequence[ScalingSample], window_s: float) -> Sequence[ScalingSample]:
    """Those that ended within `window_s` of the last, at least that."""
    begin_s = samples[-1].at_s - window_s
    return [sample for sample in samples if sample.at_s > begin_s]


class Calm:
    """The most that a rule over samples wanted at any time of a while: to go down before is to go up again soon.

    What the rule wanted at the end of a sample is kept as long as that is shown, so that each is worked out once.
    """

    def __init__(self, rule: Callable[[Sequence[ScalingSample]], float]) -> None:
        self._rule = rule
        self._wanted: dict[float, float] = {}

    def most(self, samples: Sequence[ScalingSample], window_s: float) -> float:
        """Of the last `window_s`; without end as long as there is no whole window: what has only just begun says
        nothing of what is not needed."""
        if samples[-1].at_s < window_s:
            return inf
        first = len(samples) - len(within(samples, window_s))
        kept, self._wanted = self._wanted, {}
        for end in range(first, len(samples)):
            at_s = samples[end].at_s
            self._wanted[at_s] = kept[at_s] if at_s in kept else self._rule(samples[: end + 1])
        return max(self._wanted.values())


class CalmByRole:
    """The same of each role, by a rule over a role and samples."""

    def __init__(self, rule: Callable[[str, Sequence[ScalingSample]], float]) -> None:
        self._rule = rule
        self._of_role: dict[str, Calm] = {}

    def most(self, role: str, samples: Sequence[ScalingSample], window_s: float) -> float:
        """Of one role, as `Calm.most`."""
        if role not in self._of_role:
            self._of_role[role] = Calm(partial(self._rule, role))
        return self._of_role[role].most(samples, window_s)
