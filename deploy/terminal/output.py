"""The result goes to stdout; a reader who has seen enough and closes the pipe is no error."""

from __future__ import annotations

import os
import sys
from typing import Final

from scheduler.protocol.errors import InputError

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""What a terminal would obey. Names come from traces, servers and other users' files."""


def printable(text: str) -> str:
    """The text with every control character but line ends and tabs written out, such as `\\x1b`."""
    return text.translate(_CONTROLS)


def say(text: str = "") -> None:
    """Write to stdout, and through to whoever reads it; `InputError` if it cannot be written (a full disk)."""
    if sys.stdout is None:  # closed by whoever started us
        return
    # A name in a trace may have letters that a terminal has not.
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(printable(text).encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        _say_no_more()
    except OSError as error:
        _say_no_more()
        raise InputError(f"stdout: {error.strerror or error}; the result cannot be written there") from None


def tell(line: str) -> None:
    """One line for a person, on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"{printable(line)}\n")


def _say_no_more() -> None:
    """What is still buffered would raise once more when Python ends; it goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
