"""A YAML file of settings as a `Section`, each value with the line that it stands on.

Bounded in length, depth and number of values, whoever wrote it. A file of ours is strict: no aliases, no key given
twice. A file of others is read as its owner reads it: anchors, aliases and merge keys unfold, and the last of two equal
keys counts.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from scheduler.protocol.errors import ConfigError
from scheduler.sources.bounded_file import read_bounded
from scheduler.sources.synthetic.section import Section
from scheduler.sources.traces.lines import shown

MAX_DEPTH: Final = 16
MAX_FOREIGN_DEPTH: Final = 64
MAX_VALUES: Final = 20_000
"""Of a file, its aliases unfolded; the longest known has some 500."""

_MAX_TOKENS: Final = 4 * MAX_VALUES
"""What that many values are written with; the scanner is slow, and need not go on."""


def read_settings(path: str, what: str, *, is_foreign: bool = False) -> Section:
    """The settings of a file that should be `what`, such as "a workload"; ConfigError names file and line."""
    # PyYAML costs tens of milliseconds to import, and only settings need it.
    yaml: Any = import_module("yaml")

    data = read_bounded(path, what)
    try:
        text = data.decode()
        _check_tokens(yaml, text, shown(path), is_foreign=is_foreign)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{shown(path)}: no settings in it; give lines of the form 'key: value'")
        if _size(node, {}, shown(path)) > MAX_VALUES:
            raise ConfigError(f"{shown(path)}: unfolds to more than {MAX_VALUES:,} values; write fewer aliases")
        return _Sections(yaml.SafeLoader(""), shown(path), is_foreign).of(node)
    except UnicodeDecodeError:
        raise ConfigError(f"{shown(path)}: not UTF-8 text; give {what} file in YAML") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{shown(path)}:{line}: not YAML ({error.problem}); fix the syntax") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{shown(path)}: not YAML ({reason}); fix the syntax") from None


def _check_tokens(yaml: Any, text: str, path: str, *, is_foreign: bool) -> None:
    """Refuses what is nested too deeply or too long before anything is built of it.

    A few lines of aliases of aliases unfold to more than any memory; in a file of ours an alias of one plain value is
    harmless, any other is refused.
    """
    begins = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken, yaml.BlockSequenceStartToken)
    begins += (yaml.BlockMappingStartToken,)
    ends = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
    plain: set[str] = set()
    previous: Any = None
    depth = 0
    for number, token in enumerate(yaml.scan(text)):
        depth += isinstance(token, begins) - isinstance(token, ends)
        place = f"{path}:{token.start_mark.line + 1}"
        if depth > MAX_FOREIGN_DEPTH + 1:
            raise ConfigError(f"{place}: not YAML (nested more than {MAX_FOREIGN_DEPTH} deep); give plain settings")
        if number > _MAX_TOKENS:
            raise ConfigError(f"{place}: more than {MAX_VALUES:,} values; give fewer settings")
        if isinstance(previous, yaml.AnchorToken):
            (plain.add if isinstance(token, yaml.ScalarToken) else plain.discard)(previous.value)
        if isinstance(token, yaml.AliasToken) and token.value not in plain and not is_foreign:
            raise ConfigError(f"{place}: *{token.value} is an alias; write the value out")
        previous = token


def _size(node: Any, sizes: dict[int, int | None], path: str) -> int:
    """Values of a node with its aliases unfolded; each node is counted once, so that this is quick whatever it says."""
    if node.id == "scalar":
        return 1
    known = sizes.get(id(node), 0)
    if known is None:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: contains itself; write the value out")
    if not known:
        sizes[id(node)] = None
        parts = node.value if node.id == "sequence" else [part for pair in node.value for part in pair]
        known = sizes[id(node)] = 1 + sum(_size(part, sizes, path) for part in parts)
    return known


class _Sections:
    """Makes sections of mappings."""

    def __init__(self, loader: Any, path: str, is_foreign: bool) -> None:
        self._loader = loader
        self._path = path
        self._is_foreign = is_foreign
        self._max_depth = MAX_FOREIGN_DEPTH if is_foreign else MAX_DEPTH

    def of(self, node: Any, name: str = "", depth: int = 0) -> Section:
        """A mapping with the line of each key."""
        path = self._path
        section = Section(name, f"{path}:{node.start_mark.line + 1}")
        if self._is_foreign:
            self._loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            place = f"{path}:{key_node.start_mark.line + 1}"
            if key_node.id != "scalar":
                raise ConfigError(f"{place}: a key is no word; give lines of the form 'key: value'")
            key = str(key_node.value)
            if key in section.values and not self._is_foreign:
                raise ConfigError(f"{place}: {section.name_of(key)} is given twice; give it once")
            if depth == self._max_depth:
                raise ConfigError(f"{place}: {section.name_of(key)} is nested too deeply; give plain settings")
            section.put(key, self._value(section, key, value_node, depth + 1), place)
        return section

    def _value(self, section: Section, key: str, node: Any, depth: int) -> object:
        name = section.name_of(key)
        if node.id == "mapping":
            return self.of(node, name, depth)
        value: object = self._loader.construct_object(node, deep=True)
        if node.id == "sequence":
            section.items[key] = [
                self.of(item, f"{name}[{number}]", depth)
                for number, item in enumerate(node.value)
                if item.id == "mapping"
            ]
        return value
