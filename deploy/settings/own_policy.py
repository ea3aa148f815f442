"""A routing policy of one's own: `FILE.py:Class`, read once and then carried along as text."""

from __future__ import annotations

import hashlib
import linecache
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from scheduler.policies import check_routing_policy, make_routing_policy
from scheduler.policies.options import parse_options, split_spec
from scheduler.policies.registry import OwnPolicy, options_of
from scheduler.policies.view import PolicyContext, RoutingPolicy
from scheduler.protocol.errors import ConfigError

MARK: Final = ".py:"
MAX_SOURCE_BYTES: Final = 1_000_000
"""A source travels in the configuration of a run and in journals."""


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """Which routing policy decides: `spec` as a user writes it, and the text of the file of one's own."""

    spec: str
    source: str = ""

    def make(self, context: PolicyContext) -> RoutingPolicy:
        """For one stage. Raises `ConfigError` if that fails."""
        if MARK in self.spec:
            return _make_own(self.spec, self.source, context)
        return make_routing_policy(self.spec, context)

    @property
    def digest(self) -> str:
        """Says in a journal which policy chose: its name, and of one's own a digest of the source."""
        return f"{self.spec} {_digest(self.source)}" if MARK in self.spec else self.spec


def choose_policy(spec: str, source: str) -> PolicyChoice:
    """A `ConfigError` for a name that is not known; one's own policy was tried when its file was read."""
    if MARK not in spec:
        check_routing_policy(spec)
    return PolicyChoice(spec, source)


def read_policy(spec: str) -> str:
    """The text of the file of `FILE.py:Class`, of which a policy can be made; empty for the name of a known policy."""
    if MARK not in spec:
        return ""
    path = Path(split_spec(spec)[0].rpartition(":")[0])
    try:
        size = path.stat().st_size
        if size > MAX_SOURCE_BYTES:
            raise ConfigError(f"{path} has {size:,} bytes, at most {MAX_SOURCE_BYTES:,}; is it a policy?")
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; is it a policy?") from None
    _make_own(spec, source, PolicyContext())
    return source


def _make_own(spec: str, source: str, context: PolicyContext) -> RoutingPolicy:
    name, text = split_spec(spec)
    own = _load(name, source)
    options = parse_options(name, text, options_of(own))
    has_context = "context" in getattr(own, "__dataclass_fields__", {})
    try:
        return OwnPolicy(own(context, **options) if has_context else own(**options), name)
    except Exception as error:
        raise ConfigError(_told(name, error)) from error


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _load(name: str, source: str) -> type[Any]:
    """The class, from the source; a `ConfigError` with file and line for whatever is wrong with it."""
    path, _, class_name = name.rpartition(":")
    # So that a traceback shows the lines as they were, wherever the file is now.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    module = ModuleType(f"own_policy_{_digest(source)}")
    sys.modules[module.__name__] = module  # dataclasses look there
    names = vars(module)
    try:
        exec(compile(source, path, "exec"), names)
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}; fix the file") from None
    except Exception as error:
        raise ConfigError(_told(path, error)) from error
    found = names.get(class_name)
    if isinstance(found, type) and callable(getattr(found, "choose", None)):
        return found
    if isinstance(found, type):
        raise ConfigError(f"{path}: class {class_name} has no method choose(self, stage, request); add one")
    classes = [key for key, value in names.items() if isinstance(value, type) and hasattr(value, "choose")]
    near = get_close_matches(class_name, classes, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"{path}: no class {class_name!r}; {hint}policies in it: {', '.join(classes) or 'none'}")


def _told(name: str, error: Exception) -> str:
    """Where in the user's file it went wrong, and what."""
    path = name.rpartition(":")[0] if MARK in name else name
    line, traceback = 0, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    where = f"{path}:{line}" if line else path
    what = " ".join(str(error).split())
    return f"{where}: {type(error).__name__}: {what}; fix the file"
