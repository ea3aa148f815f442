"""Every wrapper of a component is, in all of the contract, the component inside; and there is no other wrapper."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from scheduler.protocol.component import NEVER_NS, Around, Component, Outputs, TimingFlags
from tests.small_system import make_core, make_worker, small_spec

ROOT = Path(__file__).parents[4]
PACKAGES = ("scheduler", "workers", "deploy", "tests")


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """(module, class) of everything that is a component by its looks: it has `handle` and `wake`, or is an `Around`."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "(Around)" not in text and "def wake(" not in text:
                continue
            module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef):
                    yield module, node


def _bases(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base) for base in node.bases}


def _passes_on(node: ast.ClassDef) -> bool:
    """Whether its `handle` calls that of another."""
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "handle"
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "handle"
        for call in ast.walk(method)
        if not (isinstance(call, ast.Call) and ast.unparse(call.func).startswith("super()"))
    )


WRAPPERS = [(module, node.name) for module, node in _classes() if "Around" in _bases(node)]


class Inside(TimingFlags):
    """A component of which nothing is as it mostly is."""

    address = "somewhere"
    priority = 77
    deadline_ns = 123_456

    def __init__(self) -> None:
        for flag in TimingFlags.__annotations__:
            setattr(self, flag, not getattr(self, flag))

    def handle(self, now_ns: int, message: Any) -> Outputs:
        """Nothing."""
        return ()

    def wake(self, now_ns: int) -> Outputs:
        """Nothing."""
        return ()


def _contract() -> list[str]:
    """Names of all that is no method of a `Component`."""
    names = {*Component.__annotations__, *TimingFlags.__annotations__}
    return sorted(names | {name for name, value in vars(Component).items() if isinstance(value, property)})


def test_the_contract_is_known() -> None:
    assert {"address", "priority", "deadline_ns", "takes_late", "backdates_replies"} <= set(_contract())
    assert {"ParkableInstance", "JournalledCore", "StoppableInstance"} <= {name for _, name in WRAPPERS}


@pytest.mark.parametrize(("module", "name"), WRAPPERS)
def test_a_wrapper_is_the_component_inside(module: str, name: str) -> None:
    make = getattr(import_module(module), name)
    inside = Inside()
    _, *others = [p for p in inspect.signature(make).parameters.values() if p.default is inspect.Parameter.empty]
    wrapper = make(inside, *(MagicMock() for _ in others))
    assert {key: getattr(wrapper, key) for key in _contract()} == {key: getattr(inside, key) for key in _contract()}
    inside.deadline_ns = NEVER_NS
    assert wrapper.deadline_ns == NEVER_NS


def test_whoever_passes_messages_on_is_a_wrapper() -> None:
    passing = [(module, node.name) for module, node in _classes() if _passes_on(node)]
    assert set(passing) <= {*WRAPPERS, (Around.__module__, Around.__name__)}


def test_a_journal_and_a_parking_slot_keep_what_live_times_rest_on() -> None:
    from scheduler.runtime.journal import JournalledCore
    from workers.parking import ParkableInstance

    spec = small_spec(1)
    assert JournalledCore(make_core(spec), MagicMock()).backdates_replies
    assert ParkableInstance(make_worker(spec, "decode-0"), lambda: True, MagicMock()).backdates_replies
