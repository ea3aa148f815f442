"""What several scaling policies do alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scheduler.policies.scaling_view import RoleSample, ScalingSample, ScalingView
from scheduler.protocol.errors import ConfigError

_LEAST: Final = 1e-9
"""A ratio this far beyond a whole number is that number."""


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
    return -int(-(instances - _LEAST) // 1)


def there(sample: RoleSample) -> int:
    """Those that serve or will."""
    return sample.serving + sample.starting


def changed_within(view: ScalingView, role: str, window_s: float) -> bool:
    """Whether another count was wanted or was there in the last `window_s`, or the fleet began in it."""
    recent = [sample.roles[role] for sample in view.last(window_s)]
    return (
        view.now.at_s < window_s or len({(one.wanted, one.serving, one.starting, one.draining) for one in recent}) > 1
    )


def within(samples: Sequence[ScalingSample], window_s: float) -> Sequence[ScalingSample]:
    """Those that ended within `window_s` of the last, at least that."""
    begin_s = samples[-1].at_s - window_s
    return [sample for sample in samples if sample.at_s > begin_s]


def most_wanted(view: ScalingView, window_s: float, wanted: Callable[[Sequence[ScalingSample]], int], have: int) -> int:
    """The most that a rule over samples wanted at any time of the last `window_s`, at most `have`; `have` as long as
    there is no whole window: what has only just begun says nothing of what is not needed."""
    samples = view.samples
    recent = within(samples, window_s)
    if samples[-1].at_s < window_s:
        return have
    first = len(samples) - len(recent)
    return min(have, max(wanted(samples[: end + 1]) for end in range(first, len(samples))))
