"""What is compiled into the wheel, and what must not be."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.config import BuilderConfig

from hatch_build import CompiledModules, compiled_sources

ROOT = Path(__file__).parents[2]
TABLE: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
HOOK: dict[str, Any] = TABLE["targets"]["wheel"]["hooks"]["custom"]
SOURCES = compiled_sources(ROOT, HOOK["compiled"], HOOK["pure"])


def test_the_hot_rooms_are_compiled_and_what_plugs_into_them_is_not() -> None:
    assert {"workers/decode/instance.py", "scheduler/core/scheduler.py", "scheduler/protocol/stepper.py"} <= {*SOURCES}
    plugged = (
        "scheduler/policies/",
        "scheduler/core/guest.py",
        "scheduler/protocol/component.py",
        "workers/ray_shell/",
    )
    assert not [path for path in SOURCES if path.startswith(plugged) or path.endswith("__init__.py")]


def test_every_pattern_says_something() -> None:
    without_any = compiled_sources(ROOT, HOOK["compiled"], ())
    for pattern in HOOK["compiled"]:
        assert compiled_sources(ROOT, [pattern], HOOK["pure"]), pattern
    for pattern in HOOK["pure"]:
        assert compiled_sources(ROOT, HOOK["compiled"], [pattern]) != without_any, pattern


def test_an_editable_install_is_refused_a_compiled_module(tmp_path: Path) -> None:
    hook = CompiledModules(str(tmp_path), HOOK, BuilderConfig.__new__(BuilderConfig), None, "", "wheel")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="an editable install stays pure Python"):
        hook.initialize("editable", {})
    assert not list(tmp_path.iterdir())


def test_only_who_asks_for_it_needs_a_compiler() -> None:
    assert HOOK["enable-by-default"] is False


DATACLASSES = {
    "scheduler/policies/": "a user's policies are dataclasses, and what they see is sealed by its class",
    "deploy/settings/models.py": "fields of models of settings have metadata",
    "deploy/settings/clients.py": "one of those models",
    "deploy/settings/plan.py": "one of its fields is not compared",
}
"""Where a dataclass may stand beside compiled modules, and why no `Struct` is in its place."""


def classes_of(path: str) -> Iterator[tuple[str, str]]:
    """(name, "dataclass" or "Struct") of each such class of a file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            if any(ast.unparse(one).startswith("dataclass") for one in node.decorator_list):
                yield node.name, "dataclass"
            if any(ast.unparse(one) == "Struct" for one in node.bases):
                yield node.name, "Struct"


def test_values_are_structs_where_mypyc_makes_no_native_class_of_them() -> None:
    packages = ("scheduler", "workers", "sim_hw", "deploy")
    paths = {path.relative_to(ROOT).as_posix() for package in packages for path in (ROOT / package).rglob("*.py")}
    found = {path: dict(classes_of(path)) for path in sorted(paths)}
    wrong = [
        f"{path}: {name} is a {kind}"
        for path, classes in found.items()
        for name, kind in classes.items()
        if kind == ("Struct" if path in SOURCES else "dataclass") and not path.startswith(tuple(DATACLASSES))
    ]
    assert not wrong, "make it a Struct, or a dataclass in a compiled module: mypyc drops what a Struct is told"
    for place in DATACLASSES:
        assert any("dataclass" in classes.values() for path, classes in found.items() if path.startswith(place)), place


def final_fields(tree: ast.Module) -> Iterator[str]:
    """`class.field` of each `Final` field of a dataclass."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and ast.unparse(field.annotation).startswith("Final"):
                    yield f"{node.name}.{ast.unparse(field.target)}"


@pytest.mark.parametrize("path", SOURCES)
def test_no_dataclass_of_a_compiled_module_has_a_final_field(path: str) -> None:
    found = list(final_fields(ast.parse((ROOT / path).read_text(encoding="utf-8"))))
    assert not found, (
        "mypyc lets not even a dataclass's own __init__ set one: take Final off, or do not compile the file"
    )


def test_a_final_field_is_found() -> None:
    assert list(final_fields(ast.parse("@dataclass(slots=True)\nclass A:\n    b: Final[int]\n    c: int\n"))) == ["A.b"]
