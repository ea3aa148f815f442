"""The rules of the house that no tool knows, held by an ordinary test (the manner of TigerBeetle's `tidy`).

Each rule reads one file and yields what is wrong in it, with line and fix; what may deviate is listed by place, and a
test takes each exemption away to see that it is still needed.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from tests.source_files import PACKAGES, ROOT, Finding, Rule, Source, files, findings, sources

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

MAX_FILES_IN_FOLDER = 20
MAX_LOOSE_FILES = {"deploy": 3}
"""Beside `__init__.py`, where rooms hold everything else."""

TIME_PLACES = ("scheduler/runtime/clock.py",)
RANDOM_PLACES = ("scheduler/runtime/random_streams.py",)
"""Where random generators are made; everybody else is handed one."""

RAY_PLACES = ("workers/ray_shell/", "deploy/", "tests/live/")
LOOPLESS_PLACES = (
    "scheduler/core/",
    "scheduler/gateway/",
    "scheduler/policies/",
    "scheduler/protocol/",
    "sim_hw/",
    "workers/",
)
LOOP_PLACES = ("workers/ray_shell/",)
CODE_PLACES = ("deploy/settings/own_files.py", "deploy/live/", "workers/ray_shell/")
CODE_MODULES = ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "runpy", "code")
CODE_CALLS = (
    "exec", "eval", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all",
)  # fmt: skip
PRINT_PLACES = ("deploy/", "tests/")

UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w.:/}-])/(?:work|home|root|Users|tmp)/")


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
    if source.is_packaged and not source.path.startswith(TIME_PLACES):
        for line, module, _ in _imports(source):
            if module == "time":
                yield line, "imports time: take a clock of scheduler/runtime/clock.py as an argument"


def chance_is_made_in_one_file(source: Source) -> Iterator[Finding]:
    """A generator may be taken and named as a type anywhere, but is made from a named seed in one file only."""
    if not source.is_packaged or source.path.startswith(RANDOM_PLACES):
        return
    fix = "take a stream of scheduler/runtime/random_streams.py as an argument"
    for line, module, name in _imports(source):
        if module in ("random", "secrets") or (module == "numpy.random" and name != "Generator"):
            yield line, f"imports {module}: {fix}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and re.match(r"(np|numpy)\.random\.", ast.unparse(node.func)):
            yield node.lineno, f"calls {ast.unparse(node.func)}: {fix}"


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
                yield line, "imports asyncio: return messages and set a deadline, the runtime does the waiting"


def only_deploy_prints(source: Source) -> Iterator[Finding]:
    """Functions return data; tables and progress are deploy's."""
    if not source.path.startswith(PRINT_PLACES):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield node.lineno, "prints: return the data and let deploy show it"


def data_never_runs(source: Source) -> Iterator[Finding]:
    """What makes code of data is called where a user gave code, and between processes of one user that have a token."""
    if not source.is_packaged or source.path.startswith(CODE_PLACES):
        return
    for line, module, name in _imports(source):
        if module.split(".")[0] in CODE_MODULES:
            yield line, f"imports {module}: read data as JSON, CSV, msgpack or YAML by its safe loader"
        if f"{module}.{name}" in CODE_CALLS:
            yield line, f"imports {name} of {module}: read data that cannot hold code"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in CODE_CALLS:
            yield node.lineno, f"calls {called}: read data that cannot hold code"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield node.value.lineno, "allows pickles in arrays: leave it at False"


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
    if not source.is_packaged or not source.path.endswith(".py"):
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
    known = {entry.stem for entry in (ROOT / folder).iterdir() if entry.stem.strip("_")} | {folder.rpartition("/")[2]}
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
    data_never_runs,
    nothing_is_left_for_later,
    no_machine_is_named,
    what_is_public_is_documented,
    unit_tests_mirror_the_source,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_is_tidy(rule: Rule) -> None:
    assert not findings(rule)


def test_all_packages_are_looked_at() -> None:
    seen = {source.path.split("/")[0] for source in sources()}
    assert seen >= {*PACKAGES, "tests"}


def too_full(names: Iterable[str]) -> list[str]:
    """Folders with more files than a reader can keep in mind, rooms inside them not counted."""
    counts = Counter(name.rpartition("/")[0] for name in names)
    loose = Counter(name.rpartition("/")[0] for name in names if not name.endswith("/__init__.py"))
    return [
        *[f"{folder}/ has {n} files, at most {MAX_FILES_IN_FOLDER}: give some a room" for folder, n in counts.items()
          if n > MAX_FILES_IN_FOLDER],
        *[f"{folder}/ has {loose[folder]} loose files, at most {most}: put them into its rooms"
          for folder, most in MAX_LOOSE_FILES.items() if loose[folder] > most],
    ]  # fmt: skip


def test_no_folder_is_too_full() -> None:
    assert not too_full(files())


def test_a_full_folder_is_seen() -> None:
    assert not too_full([f"workers/a/{i}.py" for i in range(MAX_FILES_IN_FOLDER)])
    assert len(too_full([f"workers/a/{i}.py" for i in range(MAX_FILES_IN_FOLDER + 1)])) == 1
    assert not too_full(["deploy/__init__.py", "deploy/a.py", "deploy/b.py", "deploy/c.yaml"])
    assert len(too_full(["deploy/a.py", "deploy/b.py", "deploy/c.yaml", "deploy/d.py"])) == 1


@pytest.mark.parametrize(
    ("rule", "exemptions", "place"),
    [
        *[(time_is_read_in_one_file, "TIME_PLACES", place) for place in TIME_PLACES],
        *[(chance_is_made_in_one_file, "RANDOM_PLACES", place) for place in RANDOM_PLACES],
        *[(ray_stays_in_its_shell, "RAY_PLACES", place) for place in RAY_PLACES],
        *[(components_know_no_loop, "LOOP_PLACES", place) for place in LOOP_PLACES],
        *[(only_deploy_prints, "PRINT_PLACES", place) for place in PRINT_PLACES],
        *[(data_never_runs, "CODE_PLACES", place) for place in CODE_PLACES],
    ],
)
def test_every_exemption_is_needed(rule: Rule, exemptions: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), exemptions, tuple(one for one in globals()[exemptions] if one != place))
    assert findings(rule), f"{exemptions} names {place}, where nothing needs it any more: take it out"


LONG_BODY = "    pass\n" * MAX_FUNCTION_LINES


@pytest.mark.parametrize(
    ("rule", "path", "text", "line"),
    [
        (files_are_short, "workers/a.py", "x = 1\n" * (MAX_FILE_LINES + 1), MAX_FILE_LINES),
        (files_are_short, "docs/a.md", "x = 1\n" * (MAX_FILE_LINES + 1), None),
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
        (data_never_runs, "deploy/a.py", "x = 1\nexec('x')\n", 2),
        (data_never_runs, "sim_hw/a.py", "import pickle\n", 1),
        (data_never_runs, "deploy/a.py", "from yaml import unsafe_load\n", 1),
        (data_never_runs, "deploy/a.py", "np.load(path, allow_pickle=True)\n", 1),
        (data_never_runs, "deploy/a.py", "np.load(path, allow_pickle=False)\nre.compile('x')\n", None),
        (data_never_runs, "deploy/live/a.py", "import pickle\n", None),
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
