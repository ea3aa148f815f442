"""The rules of the house that no tool knows, held by an ordinary test (the manner of TigerBeetle's `tidy`).

Each rule reads one file and answers what is wrong in it, with line and mend; what may deviate is listed by name.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("scheduler", "workers", "sim_hw", "deploy")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

TIME_FILES = frozenset({"scheduler/runtime/clock.py"})
"""The clock, and beside it only files of workers/ray_shell and deploy, each by name."""

RANDOM_FILES = frozenset({"scheduler/runtime/random_streams.py"})
"""Where random generators are made; everybody else is handed one."""

RAY_PLACES = ("workers/ray_shell/", "deploy/", "tests/live/", "tests/bench/")
LOOPLESS_PLACES = ("scheduler/core/", "scheduler/policies/", "scheduler/protocol/", "sim_hw/", "workers/")
LOOP_PLACES = ("workers/ray_shell/",)
PRINT_PLACES = ("deploy/", "tests/")

UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w.:/}-])/(?:work|home|root|Users|tmp)/")


@dataclass
class Source:
    """One text file of the project, by its path from the root; `tree` is empty for what is not Python."""

    path: str
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text) if self.path.endswith(".py") else ast.Module([], [])

    @property
    def packaged(self) -> bool:
        return self.path.startswith(tuple(f"{package}/" for package in PACKAGES))


Finding = tuple[int, str]
Rule = Callable[[Source], Iterator[Finding]]


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _imports(source: Source) -> Iterator[tuple[int, str, str]]:
    """(line, module, imported name or nothing) of every import, at whatever depth."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def files_are_short(source: Source) -> Iterator[Finding]:
    """No Python file is longer than a reader's patience."""
    if source.path.endswith(".py") and len(source.lines) > MAX_FILE_LINES:
        yield MAX_FILE_LINES, f"{len(source.lines)} lines, at most {MAX_FILE_LINES}: split it by what it talks about"


def functions_are_short(source: Source) -> Iterator[Finding]:
    """No function is longer than a screen."""
    for node in _functions(source.tree):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            yield node.lineno, f"{node.name} has {length} lines, at most {MAX_FUNCTION_LINES}: name its parts"


def time_is_read_in_one_file(source: Source) -> Iterator[Finding]:
    """Everybody else is handed a clock or the time."""
    if source.packaged and source.path not in TIME_FILES:
        for line, module, _ in _imports(source):
            if module == "time":
                yield line, "imports time: take a clock of scheduler/runtime/clock.py as an argument"


def chance_is_made_in_one_file(source: Source) -> Iterator[Finding]:
    """A generator may be taken and named as a type anywhere, but is made from a named seed in one file only."""
    if not source.packaged or source.path in RANDOM_FILES:
        return
    mend = "take a stream of scheduler/runtime/random_streams.py as an argument"
    for line, module, name in _imports(source):
        if module in ("random", "secrets") or (module == "numpy.random" and name != "Generator"):
            yield line, f"imports {module}: {mend}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and re.match(r"(np|numpy)\.random\.", ast.unparse(node.func)):
            yield node.lineno, f"calls {ast.unparse(node.func)}: {mend}"


def ray_stays_in_its_shell(source: Source) -> Iterator[Finding]:
    """Only the Ray shell, deploy and live tests know Ray."""
    if not source.path.startswith(RAY_PLACES):
        for line, module, _ in _imports(source):
            if module.split(".")[0] == "ray":
                yield (
                    line,
                    f"imports {module}: move what needs Ray to workers/ray_shell or deploy, its test to tests/live",
                )


def components_know_no_loop(source: Source) -> Iterator[Finding]:
    """Whatever holds state or chooses is sans-IO."""
    if source.path.startswith(LOOPLESS_PLACES) and not source.path.startswith(LOOP_PLACES):
        for line, module, _ in _imports(source):
            if module.split(".")[0] == "asyncio":
                yield line, "imports asyncio: answer with messages and a deadline, the runtime does the waiting"


def only_deploy_prints(source: Source) -> Iterator[Finding]:
    """Functions return data; tables and progress are deploy's."""
    if not source.path.startswith(PRINT_PLACES):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield node.lineno, "prints: return the data and let deploy show it"


def nothing_is_left_for_later(source: Source) -> Iterator[Finding]:
    """No marker of unfinished work."""
    for number, line in enumerate(source.lines, 1):
        if found := UNFINISHED.search(line):
            yield number, f"{found.group()}: finish it, or write an issue and take the marker out"


def no_machine_is_named(source: Source) -> Iterator[Finding]:
    """Nothing depends on where it was written."""
    for number, line in enumerate(source.lines, 1):
        if found := MACHINE_PATH.search(line):
            yield number, f"names a path of one machine ({found.group()}...): take it relative, or as an argument"


def what_is_public_is_documented(source: Source) -> Iterator[Finding]:
    """Modules, and their public classes and functions, have a docstring; methods may inherit theirs from a protocol."""
    if not source.packaged or not source.path.endswith(".py"):
        return
    name = source.path.rsplit("/", 1)[-1]
    if (name == "__init__.py" or not name.startswith("_")) and ast.get_docstring(source.tree) is None:
        yield 1, "the module has no docstring: say what it is and, for a package, where to begin reading"
    for node in source.tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield node.lineno, f"{node.name} has no docstring: say what it is, with shapes, units and errors"


def unit_tests_mirror_the_source(source: Source) -> Iterator[Finding]:
    """tests/unit/PACKAGE/test_NAME.py tests PACKAGE/NAME; a longer name after NAME_ says which side of it."""
    if not re.fullmatch(r"tests/unit/.+/test_\w+\.py", source.path):
        return
    folder, name = source.path.removeprefix("tests/unit/").rsplit("/", 1)
    subject = name.removeprefix("test_").removesuffix(".py")
    if not (ROOT / folder).is_dir():
        yield 1, f"there is no {folder}/ to test: put it where its subject is"
        return
    known = {entry.stem for entry in (ROOT / folder).iterdir() if entry.stem.strip("_")} | {Path(folder).name}
    if not any(subject == one or subject.startswith(f"{one}_") for one in known):
        yield 1, f"tests nothing of {folder}/: name it after one of {', '.join(sorted(known))}"


RULES: tuple[Rule, ...] = (
    files_are_short,
    functions_are_short,
    time_is_read_in_one_file,
    chance_is_made_in_one_file,
    ray_stays_in_its_shell,
    components_know_no_loop,
    only_deploy_prints,
    nothing_is_left_for_later,
    no_machine_is_named,
    what_is_public_is_documented,
    unit_tests_mirror_the_source,
)


@cache
def _sources() -> tuple[Source, ...]:
    """Every text file of ours, new ones included: what git does not ignore, or all of the packages without git."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listing.stdout.splitlines() if listing.returncode == 0 else _walk()
    ours = re.compile(r".*\.(py|toml|md|cfg|yaml|yml)|Makefile|requirements\.lock|\.ci/run")
    return tuple(
        Source(name, (ROOT / name).read_text(encoding="utf-8"))
        for name in sorted(set(names))
        if ours.fullmatch(name) and (ROOT / name).is_file()
    )


def _walk() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for top in (*PACKAGES, "tests", "docs", "examples")
        for path in (ROOT / top).rglob("*")
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_is_tidy(rule: Rule) -> None:
    findings = [f"{source.path}:{line}: {what}" for source in _sources() for line, what in rule(source)]
    assert not findings, "\n" + "\n".join(findings)


def test_all_packages_are_looked_at() -> None:
    seen = {source.path.split("/")[0] for source in _sources()}
    assert seen >= {*PACKAGES, "tests"}


def test_exemptions_are_for_files_that_may_have_them() -> None:
    assert all(name == "scheduler/runtime/clock.py" or name.startswith(RAY_PLACES[:2]) for name in TIME_FILES)
    assert all(name.startswith("scheduler/runtime/") for name in RANDOM_FILES)


LONG_BODY = "    pass\n" * MAX_FUNCTION_LINES


@pytest.mark.parametrize(
    ("rule", "path", "text", "line"),
    [
        (files_are_short, "workers/a.py", "x = 1\n" * (MAX_FILE_LINES + 1), MAX_FILE_LINES),
        (functions_are_short, "workers/a.py", f"x = 1\ndef f():\n{LONG_BODY}", 2),
        (time_is_read_in_one_file, "deploy/a.py", "def f():\n    from time import monotonic\n", 2),
        (time_is_read_in_one_file, "scheduler/runtime/clock.py", "import time\n", None),
        (chance_is_made_in_one_file, "workers/a.py", "import numpy as np\nx = np.random.default_rng(1)\n", 2),
        (chance_is_made_in_one_file, "workers/a.py", "from numpy.random import default_rng\n", 1),
        (chance_is_made_in_one_file, "workers/a.py", "def f(x: np.random.Generator) -> None: ...\n", None),
        (ray_stays_in_its_shell, "workers/a.py", "import ray.util\n", 1),
        (ray_stays_in_its_shell, "workers/ray_shell/a.py", "import ray\n", None),
        (ray_stays_in_its_shell, "tests/unit/test_a.py", "import ray\n", 1),
        (components_know_no_loop, "scheduler/core/a.py", "import asyncio.events\n", 1),
        (components_know_no_loop, "scheduler/runtime/a.py", "import asyncio\n", None),
        (only_deploy_prints, "workers/a.py", "\nprint(1)\n", 2),
        (only_deploy_prints, "deploy/a.py", "print(1)\n", None),
        (nothing_is_left_for_later, "docs/a.md", "one\nTO" + "DO two\n", 2),
        (no_machine_is_named, "docs/a.md", "see " + "/" + "home/me/x\n", 1),
        (no_machine_is_named, "docs/a.md", "see tests/work/x and a.b/home/x\n", None),
        (what_is_public_is_documented, "workers/a.py", '"""Doc."""\nclass A: ...\n', 2),
        (what_is_public_is_documented, "workers/a.py", '"""Doc."""\ndef _f(): ...\n', None),
        (what_is_public_is_documented, "workers/a.py", "x = 1\n", 1),
        (unit_tests_mirror_the_source, "tests/unit/deploy/test_cli_exit_codes.py", "", None),
        (unit_tests_mirror_the_source, "tests/unit/deploy/test_nothing_there.py", "", 1),
        (unit_tests_mirror_the_source, "tests/unit/elsewhere/test_cli.py", "", 1),
    ],
)
def test_each_rule_sees_what_it_is_for(rule: Rule, path: str, text: str, line: int | None) -> None:
    assert [number for number, _ in rule(Source(path, text))] == ([] if line is None else [line])
