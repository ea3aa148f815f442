"""How many ended requests were within their limits, over all sessions of a system that lives."""

from __future__ import annotations

from scheduler.metrics.records import Records
from scheduler.metrics.slo import KEYS, Slo, meets
from scheduler.policies.classes import DEFAULT_NAME


class LiveSlo:
    """Of all requests that were judged, and by class; those of no class are a class of their own."""

    def __init__(self) -> None:
        self.judged = self.met = 0
        self._by_class: dict[str, tuple[int, int]] = {}

    @property
    def by_class(self) -> dict[str, tuple[int, int]]:
        """Within limits, and not, by name of class."""
        return dict(self._by_class)

    def judge(self, slo: Slo | None, ended: Records) -> None:
        """Count requests that have ended, if there are limits."""
        if slo is None:
            return
        is_met = meets(slo, ended)
        self.judged += ended.num_requests
        self.met += int(is_met.sum())
        for index, name in enumerate((DEFAULT_NAME, *(name for name, _ in slo.classes))):
            of_class = is_met[ended.request_class == index]
            met, missed = self._by_class.get(name, (0, 0))
            num_met = int(of_class.sum())
            self._by_class[name] = met + num_met, missed + len(of_class) - num_met


def limits_s(slo: Slo | None) -> tuple[float, ...]:
    """Of requests without a class, in the order of `KEYS`; 0 where there is none."""
    return tuple(0.0 if slo is None else getattr(slo, f"{key}_s") or 0.0 for key in KEYS)
