"""What the documents name is there: paths, modules, make targets, links and invariants.

Names are looked for in backticks and in links of every Markdown file but the changelog, which tells of its time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.source_files import PACKAGES, ROOT, Finding, Rule, Source, findings

INVARIANTS = ROOT / "docs" / "architecture.md"
HISTORY = ("CHANGELOG.md",)

_TOPS = "|".join((*PACKAGES, "tests", "docs", "examples", r"\.ci"))
_PATH = re.compile(rf"(?<![\w./~-])(?:{_TOPS})/[\w./-]*\w")
_MODULE = re.compile(rf"(?<![\w./-])(?:{'|'.join((*PACKAGES, 'tests'))})(?:\.\w+)+(?![\w/(])")
_MAKE = re.compile(r"(?:^|[`;&] *)make((?: [a-z]\w*)+)")
_CODE = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_INVARIANT = re.compile(r"INV-\d+")


def _codes(source: Source) -> Iterator[tuple[int, str]]:
    """(line, text) of all code in a document: what stands in backticks, and the lines of fenced blocks."""
    is_fenced = False
    for number, line in enumerate(source.lines, 1):
        if line.lstrip().startswith("```"):
            is_fenced = not is_fenced
        elif is_fenced:
            yield number, line
        else:
            yield from ((number, found.group(2)) for found in _CODE.finditer(line))


def _is_document(source: Source) -> bool:
    return source.path.endswith(".md") and source.path not in HISTORY


@cache
def _names_in(module: str) -> frozenset[str]:
    """What a module defines at its top, or imports there."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    return frozenset(
        name
        for node in tree.body
        for name in (
            [node.name] if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else
            [target.id for target in ast.walk(node) if isinstance(target, ast.Name)]
        )
    )  # fmt: skip


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package of ours, or something that one of them defines at its top."""
    path = name.replace(".", "/")
    if (ROOT / path).is_dir() or (ROOT / f"{path}.py").is_file():
        return True
    module, _, attribute = name.rpartition(".")
    at = module.replace(".", "/")
    file = f"{at}.py" if (ROOT / f"{at}.py").is_file() else f"{at}/__init__.py"
    return (ROOT / file).is_file() and attribute in _names_in(file)


def paths_and_modules_exist(source: Source) -> Iterator[Finding]:
    """What documents name of the tree is in the tree."""
    for number, code in _codes(source) if _is_document(source) else ():
        for path in _PATH.findall(code):
            if not (ROOT / path).exists():
                yield number, f"names {path}, which is not there: name what took its place"
        for name in _MODULE.findall(code):
            if not is_module(name):
                yield number, f"names {name}, which is not there: name what took its place"


def make_targets_exist(source: Source) -> Iterator[Finding]:
    """What documents tell to make can be made."""
    for number, code in _codes(source) if _is_document(source) else ():
        for targets in _MAKE.findall(code):
            for target in targets.split():
                if target not in _targets():
                    yield number, f"tells to make {target}: the Makefile has {', '.join(sorted(_targets()))}"


@cache
def _targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z]\w*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def links_lead_somewhere(source: Source) -> Iterator[Finding]:
    """Relative links lead to files, and to headings that these have."""
    for number, line in enumerate(source.lines, 1) if _is_document(source) else ():
        for link in _LINK.findall(line):
            path, _, heading = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (ROOT / source.path).parent / path if path else ROOT / source.path
            if not target.exists():
                yield number, f"links to {link}, which is not there"
            elif heading and heading not in _headings(target.read_text(encoding="utf-8")):
                yield number, f"links to {link}: {target.name} has no such heading"


@cache
def _headings(text: str) -> frozenset[str]:
    """Anchors as GitHub makes them of the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)


@cache
def listed_invariants() -> frozenset[str]:
    """Those with a row in the table of docs/architecture.md."""
    return frozenset(re.findall(r"^\| (INV-\d+) \|", INVARIANTS.read_text(encoding="utf-8"), re.MULTILINE))


def invariants_are_listed(source: Source) -> Iterator[Finding]:
    """Who cites an invariant by number cites one that a reader can look up."""
    for number, line in enumerate(source.lines, 1):
        for name in _INVARIANT.findall(line):
            if name not in listed_invariants():
                yield number, f"cites {name}: list it in docs/architecture.md, with the checker that holds it"


RULES: tuple[Rule, ...] = (
    paths_and_modules_exist,
    make_targets_exist,
    links_lead_somewhere,
    invariants_are_listed,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_documents_name_is_there(rule: Rule) -> None:
    assert not findings(rule)


@pytest.mark.parametrize(
    ("rule", "path", "text", "line"),
    [
        (paths_and_modules_exist, "docs/a.md", "one\nsee `workers/fabric/fabric.py: Fabric`\n", None),
        (paths_and_modules_exist, "docs/a.md", "one\nsee `workers/nothing.py`\n", 2),
        (paths_and_modules_exist, "docs/a.md", "```\npytest tests/unit/test_nothing.py\n```\n", 2),
        (paths_and_modules_exist, "docs/a.md", "workers/nothing.py, but not as code\n", None),
        (paths_and_modules_exist, "docs/a.md", "`workers.fabric` `workers.fabric.fabric.Fabric`\n", None),
        (paths_and_modules_exist, "docs/a.md", "`workers.fabric.fabric.Nothing`\n", 1),
        (paths_and_modules_exist, "CHANGELOG.md", "`workers/nothing.py`\n", None),
        (make_targets_exist, "docs/a.md", "`make lint type` and `make bench TRACES=DIR`\n", None),
        (make_targets_exist, "docs/a.md", "```\nmake nothing   # at all\n```\n", 2),
        (make_targets_exist, "docs/a.md", "they make nothing of it\n", None),
        (links_lead_somewhere, "docs/a.md", "[x](fabric.md) [y](https://example.org/a.md)\n", None),
        (links_lead_somewhere, "docs/a.md", "[x](fabric.md#several-supernodes) [y](../README.md)\n", None),
        (links_lead_somewhere, "docs/a.md", "[x](nothing.md)\n", 1),
        (links_lead_somewhere, "docs/a.md", "[x](fabric.md#nothing)\n", 1),
        (invariants_are_listed, "workers/a.py", "# IN" "V-4 holds\n", None),
        (invariants_are_listed, "workers/a.py", "# IN" "V-99 holds\n", 1),
    ],
)  # fmt: skip
def test_each_rule_sees_what_it_is_for(rule: Rule, path: str, text: str, line: int | None) -> None:
    assert [number for number, _ in rule(Source(path, text))] == ([] if line is None else [line])
