"""A user's classes seen as policies of the core: what they do not declare has a default, and each call is bounded.

An adapter asks by an `Ask`, which stands around every call into code that is not ours: it raises `PolicyFailedError`
for whatever the code raises, and ends a call that never returns. A routing policy that fails is replaced by the
router's fallback; admission that fails lets the request in; one whose order fails goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isnan, nan
from operator import index as as_index
from typing import Any, Final, Protocol, TypeVar, cast

from scheduler.policies.admission import AdmissionView
from scheduler.policies.failures import BrokenOffError, PolicyFailedError, PolicyFailures
from scheduler.policies.ordering import KeyedOrder
from scheduler.policies.own.sealing import sealed_admission_view, sealed_request, sealed_stage, sealed_waiting
from scheduler.policies.view import READS_ALL, Reads, RequestView, StageView
from scheduler.policies.waiting import WaitingRequest
from scheduler.protocol.errors import ConfigError

ResultT = TypeVar("ResultT")

REPAIR_READS: Final = "write such as reads = Reads.REQUEST | Reads.REPORTS (scheduler.policies.view)"


class Ask(Protocol):
    """Calls into code of a user's own, known as `name`."""

    @property
    def name(self) -> str:
        """`FILE.py:Class`."""
        ...

    def __call__(self, call: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """What the call returns; `PolicyFailedError` if it raises, `PolicyStuckError` if it does not return."""
        ...

    def failed(self, method: object, what: str) -> PolicyFailedError:
        """The error for a method that returned what it must not."""
        ...


class OwnRouting:
    """A class with a method `choose`, as a `RoutingPolicy`."""

    def __init__(self, policy: Any, ask: Ask) -> None:
        self.name: Final = ask.name
        self.reason: Final = _reason(policy, ask.name)
        self.reads: Final = reads_of(policy, ask.name)
        self._policy = policy
        self._ask = ask
        if hasattr(policy, "choose_pair"):
            self.choose_pair = self._choose_pair
        if hasattr(policy, "scores"):
            self.scores = self._scores

    def choose(self, stage: StageView, request: RequestView) -> int:
        """What the class chooses."""
        return self._ask(self._choose, sealed_stage(stage), sealed_request(request))

    def _choose(self, stage: StageView, request: RequestView) -> int:
        return self._index(self._policy.choose(stage, request), self._policy.choose, stage)

    def _scores(self, stage: StageView, request: RequestView) -> list[float]:
        def scores(*views: Any) -> list[float]:
            return [float(score) for score in self._policy.scores(*views)]

        return self._ask(scores, sealed_stage(stage), sealed_request(request))

    def _choose_pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        return self._ask(self._pair, sealed_stage(prefill), sealed_stage(decode), sealed_request(request))

    def _pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        method = self._policy.choose_pair
        pair: object = method(prefill, decode, request)
        if not isinstance(pair, tuple | list) or len(cast("Sequence[object]", pair)) != 2:
            raise self._ask.failed(method, f"choose_pair() returned {shown(cast('object', pair))}; return two indices")
        first, second = cast("Sequence[object]", pair)
        return self._index(first, method, prefill), self._index(second, method, decode)

    def _index(self, choice: object, method: Any, stage: StageView) -> int:
        num = len(stage.outstanding_tokens)
        try:
            index = as_index(choice)  # pyright: ignore[reportArgumentType]
        except TypeError:
            index = -1
        if not 0 <= index < num:
            what = f"{method.__name__}() returned {shown(choice)}; return an index from 0 to {num - 1}"
            raise self._ask.failed(method, what)
        return index


class OwnAdmission:
    """A class with a method `admits`, as an `Admission`; when it fails, the request comes in."""

    def __init__(self, admission: Any, ask: Ask) -> None:
        self.failures: Final = PolicyFailures()
        self.reads: Final = reads_of(admission, ask.name)
        self._admission = admission
        self._ask = ask

    def admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        """What the class says."""
        try:
            return self._ask(self._admits, sealed_waiting(request), sealed_admission_view(view))
        except PolicyFailedError as error:
            self.failures.add(str(error))
        except BrokenOffError:
            pass
        return True

    def _admits(self, request: WaitingRequest, view: AdmissionView) -> bool:
        answer = self._admission.admits(request, view)
        if type(answer).__name__ not in ("bool", "bool_"):  # numpy's too
            raise self._ask.failed(self._admission.admits, f"admits() returned {shown(answer)}; return True or False")
        return bool(answer)


class OwnOrder(KeyedOrder):
    """A class with a method `key`: least first, in order of coming among equals. The queue is ours, so that nobody is
    lost in it; a request whose key fails goes last."""

    def __init__(self, order: Any, ask: Ask) -> None:
        super().__init__()
        self.failures: Final = PolicyFailures()
        self._order = order
        self._ask = ask

    def key(self, request: WaitingRequest) -> float:
        """What the class says."""
        try:
            return self._ask(self._key, sealed_waiting(request))
        except PolicyFailedError as error:
            self.failures.add(str(error))
        except BrokenOffError:
            pass
        return inf

    def _key(self, request: WaitingRequest) -> float:
        key: object = self._order.key(request)
        try:
            number = float(key)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError):
            number = nan
        if isnan(number):
            raise self._ask.failed(self._order.key, f"key() returned {shown(key)}; return a number")
        return number


def reads_of(policy: Any, name: str) -> Reads:
    """What a class declares, everything if it declares nothing; a `ConfigError` for what are no `Reads`."""
    reads: object = getattr(policy, "reads", READS_ALL)
    if not isinstance(reads, Reads):
        raise ConfigError(f"{name}: reads is {shown(reads)}; {REPAIR_READS}")
    if reads > READS_ALL:
        raise ConfigError(f"{name}: reads has a flag that there is not ({reads.value:#x}); {REPAIR_READS}")
    return Reads(reads.value & READS_ALL.value)  # ~Reads.X is negative


def _reason(policy: Any, name: str) -> str:
    reason: object = getattr(policy, "reason", f"{name}: its own choice")
    if not isinstance(reason, str):
        raise ConfigError(f"{name}: reason is {shown(reason)}; write a few words")
    return reason


def shown(value: object) -> str:
    """A value of a user's code on one line, and not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."
