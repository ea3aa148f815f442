"""No circle of imports: a module can be read and tested after those it imports, and before those that import it.

The graph has an edge for each import of one of our modules by another, wherever it stands: at the top of the file, in
a function (a lazy import that closes a circle hides it from the interpreter, not from a reader) and under
`TYPE_CHECKING` (two modules that need each other's types are one module). `from package import name` is an edge to the
module `package.name` if there is one, else to `package`. That a package's `__init__` runs before its modules is none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("scheduler", "workers", "sim_hw", "deploy")

Graph = Mapping[str, set[str]]


def module_name(path: str) -> str:
    """Of a file relative to the root."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(tree: ast.AST, modules: Mapping[str, object]) -> Iterator[str]:
    """Those of `modules` that a module imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and (module := node.module or "") in modules:
            inner = [f"{module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else module for name in inner)


def graph_of(sources: Mapping[str, str]) -> Graph:
    """From module names to texts: who imports whom, a module itself left out."""
    return {name: {*imports_of(ast.parse(text), sources)} - {name} for name, text in sources.items()}


def circles(graph: Graph) -> list[list[str]]:
    """A shortest circle through the first module of each knot of modules that import each other."""
    importers = {name: {other for other in graph if name in graph[other]} for name in graph}
    found: list[list[str]] = []
    knotted: set[str] = set()
    for start in sorted(graph):
        if start in knotted or start not in reachable(graph, *graph[start]):
            continue
        knotted |= reachable(graph, start) & reachable(importers, start)
        queue = [[start]]
        for path in queue:  # breadth first, so that the first way back is a shortest
            if start in graph[path[-1]]:
                found.append([*path, start])
                break
            queue += [[*path, other] for other in sorted(graph[path[-1]] & knotted) if other not in path]
    return found


def reachable(graph: Graph, *starts: str) -> set[str]:
    """These modules, and all that they need."""
    seen, todo = set(starts), list(starts)
    while todo:
        new = graph[todo.pop()] - seen
        todo += new
        seen |= new
    return seen


def test_no_modules_import_each_other() -> None:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = {module_name(path.relative_to(ROOT).as_posix()): path.read_text(encoding="utf-8") for path in files}
    found = [" -> ".join(circle) for circle in circles(graph_of(names))]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "import b", "b": ""}, []),
        ({"a": "import b", "b": "from a import x"}, [["a", "b", "a"]]),
        ({"a": "import b", "b": "def f():\n    import a"}, [["a", "b", "a"]]),
        ({"a": "import b", "b": "if TYPE_CHECKING:\n    from c import x", "c": "import a"}, [["a", "b", "c", "a"]]),
        ({"p": "from p.a import x", "p.a": "", "p.b": "from p import a"}, []),
        ({"a": "import b", "b": "import a, c", "c": "import b", "d": "import a"}, [["a", "b", "a"]]),
    ],
)
def test_a_circle_is_seen_wherever_its_imports_stand(sources: dict[str, str], expected: list[list[str]]) -> None:
    assert circles(graph_of(sources)) == expected
