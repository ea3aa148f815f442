"""A YAML file of settings as a `Section`: bounded, without aliases, each value with the line that it stands on."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from scheduler.protocol.errors import ConfigError
from scheduler.sources.synthetic.section import Section
from scheduler.sources.traces.lines import refuse_pointer, shown, unreadable

MAX_FILE_BYTES: Final = 2**20
MAX_DEPTH: Final = 16


def read_settings(path: str, what: str) -> Section:
    """The settings of a file that should be `what`, such as "a workload"; ConfigError names file and line."""
    # PyYAML costs tens of milliseconds to import, and only settings need it.
    yaml: Any = import_module("yaml")

    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error, what) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{shown(path)}: longer than {MAX_FILE_BYTES >> 20} MiB; give {what} file")
    refuse_pointer(path, data)
    try:
        text = data.decode()
        _refuse_unfolding(yaml, text, shown(path))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{shown(path)}: no settings in it; give lines of the form 'key: value'")
        return _to_section(node, yaml.SafeLoader(""), "", shown(path), MAX_DEPTH)
    except UnicodeDecodeError:
        raise ConfigError(f"{shown(path)}: not UTF-8 text; give {what} file in YAML") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{shown(path)}:{line}: not YAML ({error.problem}); fix the syntax") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{shown(path)}: not YAML ({reason}); fix the syntax") from None


def _refuse_unfolding(yaml: Any, text: str, path: str) -> None:
    """A few lines of aliases of aliases unfold to more than any memory; an alias of one plain value is harmless."""
    plain: set[str] = set()
    previous: Any = None
    for token in yaml.scan(text):
        if isinstance(previous, yaml.AnchorToken):
            (plain.add if isinstance(token, yaml.ScalarToken) else plain.discard)(previous.value)
        if isinstance(token, yaml.AliasToken) and token.value not in plain:
            place = f"{path}:{token.start_mark.line + 1}"
            raise ConfigError(f"{place}: *{token.value} is an alias; write the value out")
        previous = token


def _to_section(node: Any, loader: Any, name: str, path: str, depth_left: int) -> Section:
    """A mapping with the line of each key."""
    section = Section(name, f"{path}:{node.start_mark.line + 1}")
    for key_node, value_node in node.value:
        place = f"{path}:{key_node.start_mark.line + 1}"
        if key_node.id != "scalar":
            raise ConfigError(f"{place}: a key is no word; give lines of the form 'key: value'")
        key = str(key_node.value)
        if key in section.values:
            raise ConfigError(f"{place}: {section.name_of(key)} is given twice; give it once")
        if depth_left == 0:
            raise ConfigError(f"{place}: {section.name_of(key)} is nested too deeply; give plain settings")
        value: object
        if value_node.id == "mapping":
            value = _to_section(value_node, loader, section.name_of(key), path, depth_left - 1)
        else:
            value = loader.construct_object(value_node, deep=True)
            if value_node.id == "sequence":
                section.items[key] = [
                    _to_section(item, loader, f"{section.name_of(key)}[{number}]", path, depth_left - 1)
                    for number, item in enumerate(value_node.value)
                    if item.id == "mapping"
                ]
        section.put(key, value, place)
    return section
