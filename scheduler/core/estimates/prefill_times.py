"""What prefill instances will take, learned from their reports alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.estimates.linear_fit import LinearFit
from scheduler.core.estimates.prediction_error import PredictionError
from scheduler.protocol.messages import InstanceProfiled, PrefillStepped

PRIOR: Final = (0.0, 1.0, 0.0, 0.0)
"""Before the first report a token takes a microsecond: a place-holder that ranks instances by their work."""


@dataclass(slots=True)
class _Work:
    """One prompt at an instance; `position` tokens of its KV are thought to exist once it runs."""

    total_tokens: int
    cached_tokens: int
    routed_ns: int
    predicted_ns: float
    position: int = 0


@dataclass(slots=True)
class _Instance:
    """`passing_ends_ns`: when the pass under way should end. `passing` is what is in it."""

    fit: LinearFit
    queued: dict[int, _Work] = field(default_factory=dict[int, _Work])
    running: dict[int, _Work] = field(default_factory=dict[int, _Work])
    queued_features: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    # Of the pass under way: cached tokens of prompts that began in it, when it should end, and what it leaves to do.
    starting_cached: int = 0
    passing_ends_ns: float = 0.0
    left_features: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    largest_pass: int = 0


class PrefillTimes:
    """Predicts when an instance is done with what it was sent, and what a prompt adds.

    A pass is taken to last `c0 + c1 tokens + c2 attention pairs + c3 cached tokens`, by least squares; instances of the
    same size share the coefficients. Prompts run first come, first served, so what a pass computed tells how far each
    is. Passes are taken to be as large as the largest seen. What will come later and share a pass is not foreseen, so
    that predictions are optimistic where passes take many prompts (docs/policies.md has measured how much).
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        fits = {size: LinearFit(PRIOR) for size in sizes}
        self._instances: Final = [_Instance(fits[size]) for size in sizes]
        self.error: Final = PredictionError()
        """Of the time from routing to first token, counted once there are samples."""

    def take_profile(self, instance: int, profile: InstanceProfiled) -> None:
        """Passes that were measured before the run, at an instance that stands for all of its size."""
        fit = self._instances[instance].fit
        rows = zip(profile.new_tokens, profile.context_tokens, profile.cached_tokens, profile.taken_ns, strict=True)
        for new, context, cached, taken_ns in rows:
            pairs = new * context + new * (new + 1) // 2
            fit.learn((1.0, new / 1e3, pairs / 1e6, cached / 1e3), taken_ns / 1e6)
        largest = max(profile.new_tokens, default=0)
        for one in self._instances:
            if one.fit is fit:
                one.largest_pass = max(one.largest_pass, largest)

    def num_samples(self, instance: int) -> int:
        """Passes behind a prediction."""
        return self._instances[instance].fit.num_samples

    def work_ns(self, total_tokens: int, at_hand: Sequence[int]) -> list[float]:
        """Time of a pass with this prompt alone, by instance, where so many of its tokens are at hand."""
        # Most instances are of one size and have nothing of the prompt.
        known: dict[tuple[LinearFit, int], float] = {}
        times: list[float] = []
        for one, cached_tokens in zip(self._instances, at_hand):
            key = one.fit, cached_tokens
            time_ns = known.get(key)
            if time_ns is None:
                features = _features(1, total_tokens, cached_tokens, cached_tokens)
                time_ns = known[key] = 1e6 * one.fit.predict(features)
            times.append(time_ns)
        return times

    def backlog_ns(self, now_ns: int) -> list[float]:
        """Time until each instance has done all that it was sent."""
        # Spelt out, because it is done for every instance at every decision.
        times: list[float] = []
        for one in self._instances:
            rest_ns = max(0.0, one.passing_ends_ns - now_ns) if one.running else 0.0
            _, queued_ktokens, queued_pairs, queued_cached = one.queued_features
            _, left_ktokens, left_pairs, left_cached = one.left_features
            ktokens = queued_ktokens + left_ktokens
            if ktokens <= 0:
                times.append(rest_ns)
                continue
            passes = max(1.0, 1e3 * ktokens / one.largest_pass) if one.largest_pass else 1.0
            c0, c1, c2, c3 = one.fit.coefficients
            pairs, cached = queued_pairs + left_pairs, queued_cached + left_cached
            times.append(rest_ns + 1e6 * (c0 * passes + c1 * ktokens + c2 * pairs + c3 * cached))
        return times

    def sent(self, now_ns: int, instance: int, request_id: int, work: tuple[int, int, float]) -> None:
        """A prompt goes to an instance: its tokens, those at hand, and the time predicted to its first token."""
        one = self._instances[instance]
        one.queued[request_id] = _Work(work[0], work[1], now_ns, work[2])
        _add(one.queued_features, _features(0, work[0], work[1], work[1]), 1)

    def withdraw(self, instance: int, request_id: int) -> None:
        """The prompt will not run where it was sent, should it not have begun."""
        one = self._instances[instance]
        work = one.queued.pop(request_id, None)
        if work is not None:
            self._unqueue(one, work)

    def waiting(self) -> list[tuple[int, int]]:
        """(instance, request) of all that has not begun."""
        return [(index, request_id) for index, one in enumerate(self._instances) for request_id in one.queued]

    def lose(self, instance: int) -> None:
        """All that it was sent is gone."""
        old = self._instances[instance]
        self._instances[instance] = _Instance(old.fit, largest_pass=old.largest_pass)

    def observe(self, instance: int, message: PrefillStepped) -> None:
        """One boundary between passes."""
        one = self._instances[instance]
        if message.computed_tokens:
            self._learn(one, message)
        for request_id in message.prefilled_ids:
            work = one.running.pop(request_id, None)
            if work is not None and one.fit.num_samples > len(PRIOR):
                self.error.note(work.predicted_ns, message.boundary_ns - work.routed_ns)
        self._begin(one, message)

    def _learn(self, one: _Instance, message: PrefillStepped) -> None:
        """The pass that ended computed so many tokens, in order of starting."""
        one.largest_pass = max(one.largest_pass, message.computed_tokens)
        left, pairs = message.computed_tokens, 0
        for work in one.running.values():
            take = min(left, work.total_tokens - work.position)
            pairs += take * work.position + take * (take + 1) // 2
            work.position += take
            left -= take
        features = (1.0, message.computed_tokens / 1e3, pairs / 1e6, one.starting_cached / 1e3)
        one.fit.learn(features, message.usage.busy_ns / 1e6)

    def _begin(self, one: _Instance, message: PrefillStepped) -> None:
        """The pass that begins now: all closing prompts, and a part of the last that runs if it is not one of them."""
        one.starting_cached = 0
        cached = message.started_cached_tokens
        for index, request_id in enumerate(message.started_ids):
            work = one.queued.pop(request_id, None)
            if work is None:
                continue
            self._unqueue(one, work)
            if cached:
                work.cached_tokens = cached[index]
            work.position = work.cached_tokens
            one.starting_cached += work.cached_tokens
            one.running[request_id] = work
        closing = set(message.last_chunk_ids)
        passing, left = [0.0, 0.0, 0.0, one.starting_cached / 1e3], [0.0, 0.0, 0.0, 0.0]
        for request_id, work in one.running.items():
            if request_id in closing:
                _add(passing, _features(0, work.total_tokens, work.position, 0), 1)
                continue
            room = max(0, one.largest_pass - round(1e3 * passing[1]))
            split = min(work.total_tokens, work.position + room)
            _add(passing, _features(0, split, work.position, 0), 1)
            _add(left, _features(0, work.total_tokens, split, 0), 1)
        passing[0] = 1.0
        one.left_features = left
        one.passing_ends_ns = message.boundary_ns + 1e6 * one.fit.predict(passing)

    def _unqueue(self, one: _Instance, work: _Work) -> None:
        _add(one.queued_features, _features(0, work.total_tokens, work.cached_tokens, work.cached_tokens), -1)
        if not one.queued:  # so that rounding does not add up
            one.queued_features = [0.0, 0.0, 0.0, 0.0]


def _features(passes: int, total_tokens: int, position: int, cached_tokens: int) -> list[float]:
    """What computing a prompt from `position` on adds to a pass, in thousands and millions."""
    take = total_tokens - position
    pairs = take * position + take * (take + 1) // 2
    return [float(passes), take / 1e3, pairs / 1e6, cached_tokens / 1e3]


def _add(features: list[float], others: Sequence[float], sign: int) -> None:
    for index, other in enumerate(others):
        features[index] += sign * other
