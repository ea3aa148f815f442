"""Where a user's standing cluster keeps its state, lock, token and log: one folder, closed to others."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from scheduler.protocol.errors import ClusterError, ConfigError

FOLDER_VARIABLE: Final = "SUPERNODE_RUNTIME_DIR"

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
OPEN_TO_OTHERS: Final = 0o077
"""Bits that a private folder or file does not have."""

WRITABLE_BY_OTHERS: Final = 0o022
"""Bits that a file which we believe does not have."""

TOKEN_BYTES: Final = 32
MAX_TOKEN_BYTES: Final = 4096


class RuntimeFolder(Struct, frozen=True):
    """The folder and what has its place in it; nothing of it need exist yet."""

    path: Path

    @property
    def state_path(self) -> Path:
        """What the keeper says of its cluster (`deploy/cluster/state.py`)."""
        return self.path / "state.json"

    @property
    def token_path(self) -> Path:
        """What whoever talks to the cluster's Ray node must show."""
        return self.path / "token"

    @property
    def admin_token_path(self) -> Path:
        """What whoever uses its admin port must show."""
        return self.path / "admin-token"

    @property
    def lock_path(self) -> Path:
        """Held while a cluster is started or stopped; it stays, because removing a lock would let two hold it."""
        return self.path / "lock"

    @property
    def log_path(self) -> Path:
        """What the keeper and its children write on stdout and stderr."""
        return self.path / "log"

    @property
    def accepted_path(self) -> Path:
        """Requests that clients of the cluster's HTTP service were promised an answer to."""
        return self.path / "accepted"

    @property
    def prometheus_folder(self) -> Path:
        """Configuration and samples of the cluster's Prometheus server."""
        return self.path / "prometheus"

    def forget(self) -> None:
        """Remove what goes with a cluster: tokens that let nobody in any more, and the requests it has accepted."""
        for path in (self.token_path, self.admin_token_path, self.accepted_path):
            path.unlink(missing_ok=True)


def locate_runtime_folder(environment: Mapping[str, str] = os.environ) -> RuntimeFolder:
    """The folder of this user, absolute, whether it exists or not.

    `$SUPERNODE_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/supernode`, else `supernode-UID` where temporary files go.
    A session directory that is relative, missing or another user's (as sudo leaves it) is passed over.
    """
    if given := environment.get(FOLDER_VARIABLE):
        return RuntimeFolder(Path(os.path.abspath(given)))
    session = environment.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(session) and _is_our_directory(Path(session)):
        return RuntimeFolder(Path(session, "supernode"))
    return RuntimeFolder(Path(os.path.abspath(tempfile.gettempdir()), f"supernode-{os.geteuid()}"))


def open_runtime_folder(environment: Mapping[str, str] = os.environ) -> RuntimeFolder:
    """The folder of this user, made if need be; `ConfigError` if it is not ours alone."""
    folder = locate_runtime_folder(environment)
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir(FOLDER_MODE, exist_ok=True)
    except FileExistsError:
        pass  # not a folder: the check says so
    except OSError as error:
        raise ConfigError(f"{folder.path}: cannot be made: {error.strerror}; {_ELSEWHERE}") from None
    check_runtime_folder(folder)
    return folder


def check_runtime_folder(folder: RuntimeFolder) -> None:
    """`ConfigError` unless it is a real folder that belongs to this user and that nobody else can enter."""
    path = folder.path
    try:
        status = path.lstat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; {_ELSEWHERE}") from None
    if stat.S_ISLNK(status.st_mode):
        raise ConfigError(f"{path} is a symbolic link, which somebody else may have laid; remove it, or {_ELSEWHERE}")
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{path} is no folder; remove it, or {_ELSEWHERE}")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to user {status.st_uid}, not to us ({os.geteuid()}); {_ELSEWHERE}")
    if status.st_mode & OPEN_TO_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{path} is open to other users (mode {mode:04o}); run 'chmod 700 {path}' if only supernode uses it, "
            f"or {_ELSEWHERE}"
        )


def read_private(path: Path, max_bytes: int) -> bytes:
    """The beginning of a file that is believed: a regular one of this user that nobody else can write, and no link.

    `OSError` if it cannot be opened, `ClusterError` if it is another one; nothing of that is read.
    """
    # A pipe must not keep us waiting for who writes into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", closefd=True) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ClusterError(f"{path} is no regular file")
        if status.st_uid != os.geteuid():
            raise ClusterError(f"{path} belongs to user {status.st_uid}, not to us ({os.geteuid()})")
        if status.st_mode & WRITABLE_BY_OTHERS:
            raise ClusterError(f"{path} can be written by other users (mode {stat.S_IMODE(status.st_mode):04o})")
        return file.read(max_bytes)


@contextmanager
def locked(folder: RuntimeFolder) -> Generator[None]:
    """Hold the folder's lock, so that one command at a time starts or stops the cluster; `ClusterError` if it is held.

    The lock goes with its open file: a process forked inside, without exec, would keep it beyond the end.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder.lock_path, flags, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            who = f" (process {holder})" if holder.isdecimal() else ""
            raise ClusterError(
                f"another 'supernode up' or 'supernode down'{who} is at work in {folder.path}; wait until it is done"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def make_token(path: Path) -> None:
    """Write a new random token that only this user can read; `ClusterError` if the file is there already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    except FileExistsError:
        raise ClusterError(f"{path}: there is a token of another cluster already; run 'supernode down'") from None
    except OSError as error:
        raise ClusterError(f"{path}: cannot write the token: {error.strerror}") from None
    with open(descriptor, "w") as file:
        file.write(os.urandom(TOKEN_BYTES).hex())


def check_token(path: Path) -> None:
    """`ClusterError` unless there is a token that this user owns and nobody else can read: Ray must not run without."""
    fix = "run 'supernode down', then 'supernode up', which makes a new one"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ClusterError(f"{path}: no token, and Ray is not run without one; {fix}") from None
    except OSError as error:
        raise ClusterError(f"{path}: the token cannot be read: {error.strerror}; {fix}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ClusterError(f"{path}: the token is no regular file; remove it, then {fix}")
        if status.st_uid != os.geteuid():
            raise ClusterError(f"{path}: the token belongs to user {status.st_uid}, not to us; remove it, then {fix}")
        if status.st_mode & OPEN_TO_OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise ClusterError(f"{path}: other users can reach the token (mode {mode:04o}), take it as known; {fix}")
        if not os.read(descriptor, MAX_TOKEN_BYTES).strip():
            raise ClusterError(f"{path}: the token is empty, and Ray is not run without one; {fix}")
    finally:
        os.close(descriptor)


_ELSEWHERE: Final = f"name another place with {FOLDER_VARIABLE}"


def _is_our_directory(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
