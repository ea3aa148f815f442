"""The one tree of errors that a user or a developer of this project can meet.

SupernodeError
+-- InputError              a file, flag, config or body is wrong: one line with place and fix, exit 2
|   +-- TraceError          a line of a trace
|   +-- ConfigError         a configuration file or a contradiction between options
|   +-- UndeclaredReadError a routing policy reads what it did not declare
|   +-- PolicyStuckError    a call of a policy of one's own does not return
+-- LifecycleError          an event that the life-cycle table does not allow in a request's state
+-- CodecError              bytes that are not a message of this protocol version
|   +-- JournalError        a journal that is damaged, truncated or of another version
+-- ClusterError            the local cluster could not be started, reached or kept
    +-- WorkerLostError     a process that hosts workers has ended; Ray starts another
"""

from __future__ import annotations


class SupernodeError(Exception):
    """Base of everything this project raises on purpose. `str(error)` is one line for a person."""


class InputError(SupernodeError):
    """What the user gave cannot be used. The message names the place, what is wrong and the fix."""


class TraceError(InputError):
    """A trace line that cannot be a request."""

    def __init__(self, path: str, line: int, field: str, problem: str, fix: str) -> None:
        self.path = path
        self.line = line
        self.field = field
        self._given = (path, line, field, problem, fix)
        where = f"{path}:{line}" if line else path
        what = f"{field}: " if field else ""
        super().__init__(f"{where}: {what}{problem}; {fix}")

    def __reduce__(self) -> tuple[type[TraceError], tuple[str, int, str, str, str]]:
        """Errors cross processes, and Python would make them again from their message alone."""
        return type(self), self._given


class ConfigError(InputError):
    """A configuration value, flag or combination of them that cannot be used."""


class UndeclaredReadError(InputError):
    """A routing policy reads a field of its views that its `reads` leaves out."""


class PolicyStuckError(InputError):
    """A policy of a user's own has not returned from a call within its limit; the message names file and line."""


class LifecycleError(SupernodeError):
    """An illegal step of a request's life; the request's state is unchanged."""

    def __init__(self, request_id: int, state: str, event: str) -> None:
        self.request_id = request_id
        self.state = state
        self.event = event
        super().__init__(f"request {request_id} in state {state} cannot take event {event}")

    def __reduce__(self) -> tuple[type[LifecycleError], tuple[int, str, str]]:
        """As in `TraceError`."""
        return type(self), (self.request_id, self.state, self.event)


class CodecError(SupernodeError):
    """Bytes that are not a message of this protocol version."""


class JournalError(CodecError):
    """A journal that is damaged, cut short or of another version."""


class ClusterError(SupernodeError):
    """The local cluster could not be started, reached or kept."""


class SilentError(ClusterError):
    """A process is there and does not answer within its deadline."""


class WorkerLostError(ClusterError):
    """A process that hosts workers has ended; what it knew is gone."""
