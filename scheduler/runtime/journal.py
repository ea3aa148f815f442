"""The journal: everything the core was given, and a running digest of its outputs.

    file    = MAGIC, frame(header as JSON), frame(record)..., frame(end record), of scheduler/runtime/frames.py
    record  = "I" + msgpack [now_ns, message array]     a message; without the second entry: a wake
            | "O" + digest                              of all outputs so far, after the input before it
            | "E" + msgpack [num_inputs, is_repaired]   the journal was closed

`JournalledCore` is a component around the core, so that no runtime knows of journals.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from msgspec import Struct, field, to_builtins

from scheduler.protocol.codec import VERSION, from_array, pack, to_array, unpack
from scheduler.protocol.component import Around, Component, Outputs
from scheduler.protocol.errors import CodecError, JournalError
from scheduler.protocol.messages import Message
from scheduler.runtime.frames import Frames, framed

MAGIC: Final = b"SNJOURN\n"
FORMAT_VERSION: Final = 1
MAKER: Final = "replay --journal"

_BUFFER_BYTES: Final = 1 << 20
_DIGEST_BYTES: Final = 8
_INPUT, _OUTPUTS, _END = b"I", b"O", b"E"


class JournalHeader(Struct, frozen=True):
    """What made the run: enough to build the same core again. `config` is plain JSON data.

    No code is in it: `own_code` has a digest of the files of each policy of a user's own, by the setting that names it.
    """

    config: dict[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0
    policy_digest: str = ""
    code_digest: str = ""
    format_version: int = FORMAT_VERSION
    protocol_version: int = VERSION
    own_code: dict[str, str] = field(default_factory=dict[str, str])


class JournalEntry(Struct):
    """One thing given to the core: a message, or None for a wake at its deadline.

    `outputs_digest`: of all outputs up to and including this one's; empty if it had none. `is_cut`: the run broke
    off here, so whether it had an answer is unknown.
    """

    now_ns: Final[int]
    message: Final[Message | None]
    outputs_digest: bytes = b""
    is_cut: bool = False


class ReplayResult(Struct, frozen=True):
    """Whether a fresh core gave the same commands, and if not, a line that names the first input answered otherwise."""

    num_messages: int
    same: bool
    first_difference: str = ""


class OutputsDigest:
    """A running digest of outputs: equal digests, equal commands in equal order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def update(self, outputs: Outputs) -> bytes:
        """Take the outputs of one call; the digest of all so far."""
        self._hash.update(pack([(address, to_array(message)) for address, message in outputs]))
        return self._hash.copy().digest()


class JournalWriter:
    """Writes a journal as the run goes, buffered; `close` adds the end record without which it counts as cut short."""

    def __init__(self, path: str | Path, header: JournalHeader) -> None:
        self._digest = OutputsDigest()
        self._num_inputs = 0
        self._file = open(path, "wb", buffering=_BUFFER_BYTES)  # noqa: SIM115 - closed by `close`
        self._file.write(MAGIC)
        self._write(json.dumps(to_builtins(header), sort_keys=True).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, now_ns: int, message: Message | None) -> None:
        """Note what the core is about to be given; None is a wake."""
        self._num_inputs += 1
        self._write(_INPUT + pack((now_ns,) if message is None else (now_ns, to_array(message))))

    def record_outputs(self, outputs: Outputs) -> None:
        """Note what it returned."""
        if outputs:
            self._write(_OUTPUTS + self._digest.update(outputs))

    def close(self) -> None:
        """Write the end record and close the file; a second call does nothing."""
        if not self._file.closed:
            self._write(_END + pack((self._num_inputs, False)))
            self._file.close()

    def _write(self, body: bytes) -> None:
        self._file.write(framed(body))


class JournalledCore(Around):
    """The core, and a journal of all that it is given and returns."""

    def __init__(self, core: Component, writer: JournalWriter) -> None:
        super().__init__(core)
        self._writer = writer

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Note the message, then let the core take it."""
        self._writer.record(now_ns, message)
        outputs = self.inner.handle(now_ns, message)
        self._writer.record_outputs(outputs)
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Note the wake, then wake the core."""
        self._writer.record(now_ns, None)
        outputs = self.inner.wake(now_ns)
        self._writer.record_outputs(outputs)
        return outputs


def read_journal(path: str | Path) -> tuple[JournalHeader, Iterator[JournalEntry]]:
    """The header, and what the core was given, read as it is iterated; the iterator raises `JournalError` on damage."""
    with _Frames(path) as frames:
        return frames.header(), _entries(path)


def replay(path: str | Path, make_core: Callable[[JournalHeader], Component]) -> ReplayResult:
    """Give a fresh core all that the journal holds and compare its outputs with the digests."""
    header, entries = read_journal(path)
    core, digest, num_messages = make_core(header), OutputsDigest(), 0
    for entry in entries:
        message = entry.message
        outputs = core.wake(entry.now_ns) if message is None else core.handle(entry.now_ns, message)
        num_messages += message is not None
        answered = digest.update(outputs) if outputs else b""
        if answered != entry.outputs_digest and not entry.is_cut:
            what = "a wake" if message is None else type(message).__name__
            commands = (
                ", ".join(f"{type(command).__name__} to {address}" for address, command in outputs[:4]) or "nothing"
            )
            where = f"message {num_messages}, {what} at {entry.now_ns} ns"
            return ReplayResult(num_messages, False, f"{where}: other commands than recorded; now {commands}")
    return ReplayResult(num_messages, True)


def repair(path: str | Path, out: str | Path) -> int:
    """Copy all that is whole before the first damage and close it; returns the number of inputs kept.

    A journal whose header is damaged cannot be repaired: `JournalError`.
    """
    if Path(out).exists() and Path(out).samefile(path):
        raise JournalError(f"{out}: would overwrite the journal to repair; name another file")
    num_inputs = 0
    with _Frames(path) as frames:
        frames.header()
        with Path(out).open("wb", buffering=_BUFFER_BYTES) as target:
            target.write(frames.head)
            is_whole = False
            with suppress(JournalError):  # the damage, which repair cuts off
                while not is_whole and (body := frames.next()):
                    _read_record(frames, body)
                    is_whole = body[:1] == _END
                    num_inputs += body[:1] == _INPUT
                    target.write(framed(body))
            if not is_whole:
                target.write(framed(_END + pack((num_inputs, True))))
    return num_inputs


class _Frames(Frames):
    """Those of a journal, the first of which is its header."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, MAGIC, MAKER)
        self.head = b""

    def header(self) -> JournalHeader:
        """The header, once the file is known to be a journal of this version."""
        self.begin()
        body = self.next()
        try:
            values = cast("dict[str, Any]", json.loads(body or b""))
            versions = (values.get("format_version"), values.get("protocol_version"))
            if versions != (FORMAT_VERSION, VERSION):
                older = "an older" if versions < (FORMAT_VERSION, VERSION) else "another"
                raise JournalError(
                    f"{self._path}: byte {len(MAGIC)}: a journal of {older} version (format {versions[0]}, protocol "
                    f"{versions[1]}), but this program reads format {FORMAT_VERSION}, protocol {VERSION}; "
                    "record it anew with replay --journal"
                )
            header = JournalHeader(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise self.damage("the header is unreadable") from error
        self.head = MAGIC + framed(body)
        return header


def _read_record(frames: _Frames, body: bytes) -> Any:
    """A `JournalEntry`, a digest or the (num_inputs, is_repaired) of the end."""
    kind, rest = body[:1], body[1:]
    try:
        if kind == _INPUT:
            values = cast("list[Any]", unpack(rest))
            return JournalEntry(int(values[0]), from_array(values[1]) if len(values) > 1 else None)
        if kind == _OUTPUTS and len(rest) == _DIGEST_BYTES:
            return rest
        if kind == _END:
            num_inputs, is_repaired = cast("list[Any]", unpack(rest))
            return int(num_inputs), bool(is_repaired)
    except (CodecError, TypeError, ValueError, LookupError) as error:
        raise frames.damage(f"an unreadable record ({error})") from error
    raise frames.damage(f"a record of unknown kind {kind!r}")


def _entries(path: str | Path) -> Iterator[JournalEntry]:
    with _Frames(path) as frames:
        frames.header()
        yield from _read_entries(frames)


def _read_entries(frames: _Frames) -> Iterator[JournalEntry]:
    pending: JournalEntry | None = None
    num_inputs = 0
    while body := frames.next():
        record = _read_record(frames, body)
        if isinstance(record, JournalEntry):
            if pending is not None:
                yield pending
            pending = record
            num_inputs += 1
        elif isinstance(record, bytes):
            if pending is None:
                raise frames.damage("answers without an input")
            pending.outputs_digest = record
        else:
            expected, is_repaired = record
            if expected != num_inputs:
                raise frames.damage(f"{num_inputs} inputs, but {expected} were recorded")
            if pending is not None:
                pending.is_cut = is_repaired and not pending.outputs_digest
                yield pending
            if frames.next():
                raise frames.damage("goes on after its end")
            return
    raise frames.damage("cut short: it was never closed")
