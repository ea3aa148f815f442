"""The command `supernode`: finds a command's module, runs it, and turns what went wrong into a line and an exit code.

A command is a row in `COMMANDS`. Its module is imported when the command is invoked and at no other time, so that
`supernode --version`, `--help` and a mistyped command cost next to nothing, and a virtual replay never pays for Ray.
The module offers `app`, a `typer.Typer` with one command or several. A command returns None or its exit code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from deploy.run.garbage_collection import patient_collection
from deploy.terminal.interrupt import terminate_as_interrupt
from deploy.terminal.left_out import with_left_out
from deploy.terminal.output import say, tell
from scheduler.protocol.errors import ClusterError, InputError, JournalError

if TYPE_CHECKING:
    from typer import TyperException
    from typer.core import TyperCommand, TyperGroup

PROGRAM: Final = "supernode"
DISTRIBUTION: Final = "supernode-serve"
TRACEBACK_VARIABLE: Final = "SUPERNODE_TRACEBACK"

EXIT_DONE: Final = 0
EXIT_BAD_INPUT: Final = 2
EXIT_INTERNAL: Final = 3
EXIT_INTERRUPTED: Final = 130


class LazyCommand(Struct, frozen=True):
    """Where a command lives. The help is kept here, so that listing the commands imports none of them."""

    module: str
    help: str


COMMANDS: Final[Mapping[str, LazyCommand]] = {
    "replay": LazyCommand(
        "deploy.commands.replay", "Replay a trace on an emulated supernode, on a virtual clock or --live on Ray."
    ),
    "up": LazyCommand("deploy.commands.up", "Bring up a local cluster that stays, with its metrics."),
    "serve-engine": LazyCommand(
        "deploy.commands.serve_engine", "Serve one emulated instance as a vLLM server, for a router of another kind."
    ),
    "status": LazyCommand("deploy.commands.status", "Show the cluster that is up: instances, queues, rates."),
    "fail": LazyCommand("deploy.commands.fail", "Break parts of the fabric of the cluster that is up."),
    "repair": LazyCommand("deploy.commands.repair", "Repair broken parts of the fabric of the cluster that is up."),
    "drain": LazyCommand("deploy.commands.instances.drain", "Have instances of a cluster finish and leave."),
    "scale": LazyCommand("deploy.commands.instances.scale", "Set how many instances of each role a cluster has."),
    "down": LazyCommand("deploy.commands.down", "End the cluster that is up, and all that it started."),
    "compare": LazyCommand(
        "deploy.commands.answers.compare", "Replay a trace on several clusters or under several policies, side by side."
    ),
    "plan": LazyCommand("deploy.commands.answers.plan", "Find the smallest plan that serves a trace within an SLO."),
    "sweep": LazyCommand(
        "deploy.commands.answers.sweep", "Replay a trace over a grid or a sample of settings, and keep all."
    ),
    "calibrate": LazyCommand(
        "deploy.commands.answers.calibrate", "Fit the hardware model to your own measurements, and say how sure it is."
    ),
    "report": LazyCommand("deploy.commands.report", "Show what a replay --out wrote as one HTML page."),
    "explain": LazyCommand("deploy.commands.explain", "Tell one request's life, with the reason of each decision."),
    "trace": LazyCommand("deploy.commands.trace", "Describe, generate and convert traces."),
    "cache": LazyCommand("deploy.commands.cache", "Show what a prefix cache of some size would find in a trace."),
    "policies": LazyCommand("deploy.commands.policies", "List the routing policies, each with formula and source."),
    "hw": LazyCommand("deploy.commands.hardware.hw", "Show what is known of the hardware, with sources."),
    "model": LazyCommand(
        "deploy.commands.hardware.model", "Show models, and predict one operating point of the cost model."
    ),
    "validate": LazyCommand(
        "deploy.commands.hardware.validate", "Compare published performance with what the model predicts."
    ),
    "journal": LazyCommand("deploy.commands.journal", "Check, replay and repair journals."),
    "doctor": LazyCommand("deploy.commands.doctor", "Tell what is missing or odd on this machine."),
}


_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""The errors of a disk, which Python raises without saying of which file."""


def main(arguments: Sequence[str] | None = None, commands: Mapping[str, LazyCommand] = COMMANDS) -> int:
    """Run one command line (default: that of this process) and return its exit code."""
    # numpy's linear algebra is not used; its threads would only spin beside a run (an eighth of the processor time).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with terminate_as_interrupt(), patient_collection(until_exit=arguments is None):
            code = _run(list(sys.argv[1:] if arguments is None else arguments), commands)
            say()  # what is written but still buffered must not fail when Python ends
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except (InputError, JournalError) as error:
        return _fail(EXIT_BAD_INPUT, str(error), error)
    except ClusterError as error:
        return _fail(EXIT_INTERNAL, str(error), error)
    except OSError as error:
        if error.filename is None and error.errno in _DISK_ERRORS:
            line = f"a file cannot be written: {error.strerror}; make room, then run it again"
            return _fail(EXIT_BAD_INPUT, line, error)
        if error.filename is None:
            return _fail_internally(error)
        return _fail(EXIT_BAD_INPUT, f"{error.filename}: {error.strerror}", error)
    except Exception as error:  # noqa: BLE001 - the outermost frame: a defect becomes one line and exit 3
        return _fail_internally(error)
    if code == EXIT_INTERRUPTED:
        _say("interrupted")
    return code


def _run(arguments: list[str], commands: Mapping[str, LazyCommand]) -> int:
    if not arguments:
        raise InputError(f"no command given; one of {', '.join(commands)} (see '{PROGRAM} --help')")
    name = arguments[0]
    if name in ("--help", "-h"):
        say(_help(commands))
        return EXIT_DONE
    if name == "--version":
        say(_version(arguments[1:]))
        return EXIT_DONE
    if name not in commands:
        raise InputError(_unknown(name, commands))
    lazy = commands[name]
    command = _load(name, lazy)
    given = with_left_out(arguments[1:], getattr(import_module(lazy.module), "LEFT_OUT", {}))
    return _run_typer(command, f"{PROGRAM} {name}", given)


def _load(name: str, lazy: LazyCommand) -> TyperCommand | TyperGroup:
    """Import a command's module and make its `app` runnable, whether it has one command or several."""
    from typer.core import TyperCommand, TyperGroup
    from typer.main import get_command

    from deploy.terminal.plain_values import take_plain_values

    app = import_module(lazy.module).app
    # Plain help and plain errors: neither rich's boxes nor an installer of shell completion, whatever the app says.
    app.rich_markup_mode = None
    app._add_completion = False
    command = get_command(app)
    if not isinstance(command, (TyperCommand, TyperGroup)):
        raise TypeError(f"{lazy.module}.app is {command!r}, which typer cannot run as the command {name!r}")
    if isinstance(command, TyperGroup):
        command.no_args_is_help = False  # a missing sub-command is bad usage like any other: one line, exit 2
    take_plain_values(command)
    return command


def _run_typer(command: TyperCommand | TyperGroup, program: str, arguments: list[str]) -> int:
    from typer import Abort, TyperException

    try:
        result: object = command.main(arguments, prog_name=program, standalone_mode=False, obj=arguments)
    except TyperException as error:
        raise InputError(_usage_line(error, program)) from error
    except Abort:
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else EXIT_DONE


def _usage_line(error: TyperException, program: str) -> str:
    """What typer says of wrong usage, in this project's form: one line that ends with where to look."""
    context = getattr(error, "ctx", None)
    path = program if context is None else context.command_path
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]}; see '{path} --help'"


def _unknown(name: str, commands: Mapping[str, LazyCommand]) -> str:
    kind = "option" if name.startswith("-") else "command"
    known = ["--help", "--version"] if kind == "option" else list(commands)
    near = get_close_matches(name, known)
    fix = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return f"no such {kind}: {name}; {fix}"


def _help(commands: Mapping[str, LazyCommand]) -> str:
    width = max(map(len, commands), default=0)
    rows = "".join(f"  {name:<{width}}  {lazy.help}\n" for name, lazy in commands.items())
    return (
        f"Usage: {PROGRAM} COMMAND [OPTIONS]\n\n"
        "Emulates an AI supernode and runs a real LLM-serving scheduler on it.\n\n"
        f"Commands:\n{rows}\n"
        f"'{PROGRAM} COMMAND --help' tells a command's options; '{PROGRAM} --version' the version,\n"
        "with '--verbose' also whether compiled modules run.\n"
        "Exit: 0 done, 1 a bound was not met, 2 bad usage or input, 3 internal error, 130 interrupted.\n"
    )


def _version(options: list[str]) -> str:
    from importlib.metadata import version

    if unknown := [option for option in options if option not in ("--verbose", "-v")]:
        raise InputError(f"'{PROGRAM} --version' takes no {unknown[0]}; known: --verbose (-v)")
    line = f"{PROGRAM} {version(DISTRIBUTION)}\n"
    if options:
        from deploy.doctor.installation import look

        line += f"{look().describe()}\n"
    return line


def _fail_internally(error: Exception) -> int:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "" if os.environ.get(TRACEBACK_VARIABLE) == "1" else f" ({TRACEBACK_VARIABLE}=1 shows where)"
    return _fail(EXIT_INTERNAL, f"internal error: {what}; please report it{hint}", error)


def _fail(code: int, line: str, error: Exception) -> int:
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        from traceback import print_exception

        print_exception(error)
    _say(" ".join(line.split()))
    return code


def _say(line: str) -> None:
    tell(f"{PROGRAM}: {line}")
