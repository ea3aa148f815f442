"""Files of code of a user's own: read once, carried along as text, and made into classes wherever the run's parts are.

A file may import files beside it (`import helper`): those are found by reading its imports, and travel with it. They
are modules of their own for each policy, which nobody else sees; `sys.path` is not changed.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import json
import linecache
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from msgspec import Struct

from scheduler.protocol.errors import ConfigError

MARK: Final = ".py:"
MAX_SOURCE_BYTES: Final = 1_000_000
"""A source, with the files beside it, travels in the configuration of a run."""

PACKAGES: Final = frozenset({"scheduler", "workers", "sim_hw", "deploy"})
"""Files beside a policy do not take the place of these."""


class OwnFiles(Struct, frozen=True, dict=True):
    """Texts of files by path as given, the one that was named first; `ConfigError` with file and line for what is
    wrong in them."""

    texts: Mapping[str, str]

    @classmethod
    def read(cls, path: str) -> OwnFiles:
        """The file at a path, and the files beside it that it imports."""
        texts: dict[str, str] = {}
        waiting, num_bytes = [path], 0
        while waiting:
            name = waiting.pop(0)
            text = _read_text(Path(name), MAX_SOURCE_BYTES - num_bytes)
            texts[name] = text
            num_bytes += len(text.encode())
            beside = [str(Path(name).with_name(f"{module}.py")) for module in _imported(name, text)]
            waiting += [one for one in beside if one not in texts and one not in waiting and Path(one).is_file()]
        return cls(texts)

    @cached_property
    def digest(self) -> str:
        """Of all that is in them, by name without folder."""
        texts = {Path(name).name: text for name, text in self.texts.items()}
        return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]

    def load(self, name: str, methods: Sequence[str]) -> type[Any]:
        """The class `FILE.py:Class`, which has one of these methods."""
        path, _, class_name = name.rpartition(":")
        names = vars(_Modules(self.texts).load(path))
        found = names.get(class_name)
        if isinstance(found, type):
            if any(callable(getattr(found, method.partition("(")[0], None)) for method in methods):
                return cast("type[Any]", found)
            raise ConfigError(f"{path}: class {class_name} has no method {' or '.join(methods)}; add one")
        wanted = [method.partition("(")[0] for method in methods]
        classes = [
            key
            for key, value in names.items()
            if isinstance(value, type) and any(hasattr(value, one) for one in wanted)
        ]
        near = get_close_matches(class_name, classes, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{path}: no class {class_name!r}; {hint}policies in it: {', '.join(classes) or 'none'}")


class _Modules:
    """The modules of one policy: imports of files beside it come from their texts, all others as usual."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._paths = {Path(path).stem: path for path in reversed(list(texts))}
        self._texts = texts
        self._loaded: dict[str, ModuleType] = {}
        digest = hashlib.sha256(json.dumps(dict(texts)).encode()).hexdigest()[:16]
        self._prefix = f"own_policy_{digest}"

    def load(self, path: str) -> ModuleType:
        if path in self._loaded:
            return self._loaded[path]
        source = self._texts[path]
        # So that a traceback shows the lines as they were, wherever the file is now.
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        module = ModuleType(f"{self._prefix}.{Path(path).stem}")
        sys.modules[module.__name__] = module  # dataclasses look there
        names = vars(module)
        names["__builtins__"] = {**vars(builtins), "__import__": self._import}
        self._loaded[path] = module
        try:
            exec(compile(source, path, "exec"), names)
        except SyntaxError as error:
            raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}; fix the file") from None
        return module

    def _import(self, name: str, *rest: Any, **named: Any) -> Any:
        path = self._paths.get(name)
        return builtins.__import__(name, *rest, **named) if path is None else self.load(path)


def _read_text(path: Path, max_bytes: int) -> str:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise ConfigError(
                f"{path} has {size:,} bytes, at most {MAX_SOURCE_BYTES:,} with the files beside it; is it a policy?"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; is it a policy?") from None


def _imported(path: str, text: str) -> list[str]:
    """Names of modules that a text imports, wherever in it."""
    try:
        tree = ast.parse(text, path)
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}; fix the file") from None
    except (ValueError, RecursionError) as error:  # a NUL, or a nest too deep
        raise ConfigError(f"{path}: {error}; fix the file") from None
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module] = None
    return [name for name in names if name.isidentifier() and name not in PACKAGES]
