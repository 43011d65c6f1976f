"""YAML that remembers where everything stood, so that an error can name file and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rankloom.errors import ConfigError, NotFoundError

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Locations:
    """Lines of the values of a YAML file.

    Args:
        file: Name to show.
        lines: Keys and indexes that lead to a value -> its line, from 1.
    """

    file: str = "configuration"
    lines: Mapping[Place, int] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """`file:line` of a value, or of the nearest value around it that is known."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return f"{self.file}:{self.lines[place[:length]]}"
        return self.file

    @property
    def folder(self) -> Path:
        """The folder of the file, from which relative paths in it are taken; the current one if there is no file."""
        return Path(self.file).parent


def find_beside(path: str, folder: Path, is_it: Callable[[Path], bool] = Path.exists) -> Path | None:
    """What a path of a file stands for: in the file's own folder, or else in the current one; None if in neither.

    Args:
        path: The path; an absolute one has only one place.
        folder: The folder of the file that names it.
        is_it: Tells whether what is wanted is at a path.

    Raises:
        ConfigError: There is something in both places, and nothing says which is meant.
    """
    here = Path(path).expanduser()
    beside = folder / here
    found = [place for place in (beside, here) if is_it(place)]
    if len(found) == 2 and not beside.samefile(here):
        raise ConfigError(
            "a relative path leads to something in two places",
            value=path,
            accepted=f"{beside.absolute()}, {here.absolute()}",
            fix="write one of them in full",
        )
    return found[-1] if found else None


def places_tried(path: str, folder: Path) -> str:
    """The places where `find_beside` looks, in words."""
    return " and ".join(dict.fromkeys(str(place.absolute()) for place in (folder / path, Path(path).expanduser())))


def read_yaml(path: str | Path) -> tuple[dict[str, Any], Locations]:
    """Read a YAML file whose top level is a mapping. Only plain YAML: no tags that make objects.

    Raises:
        NotFoundError: There is no such file.
        ConfigError: It is not YAML, not a mapping, or a key stands twice; names file and line.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError("there is no such configuration file", value=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file can not be read: {error}", value=str(path)) from error
    lines: dict[Place, int] = {}
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        value = _value(node, loader, (), lines, str(path)) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        raise ConfigError(f"{path}:1: the file must hold keys and values", value=type(value).__name__)
    return value, Locations(str(path), lines)


def _value(node: yaml.Node, loader: yaml.SafeLoader, place: Place, lines: dict[Place, int], file: str) -> Any:
    """The Python value of a node; notes the line of every value in it."""
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node))
            line = key_node.start_mark.line + 1
            if key in found:
                raise ConfigError(f"{file}:{line}: a key stands twice", value=key)
            found[key] = _value(value_node, loader, (*place, key), lines, file)
            lines[*place, key] = line
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, loader, (*place, number), lines, file) for number, item in enumerate(node.value)]
    return loader.construct_object(node)


def apply_overrides(config: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of a configuration with `--set a.b=value` assignments made; values are read as YAML.

    Args:
        config: The configuration.
        assignments: `key=value` with dots between keys; a number walks into a list.

    Raises:
        ConfigError: An assignment without `=`, or a path through something that is neither mapping nor list.

    Example:
        >>> apply_overrides({"define": {"bm25": {"k": 10}}}, ["define.bm25.k=50"])
        {'define': {'bm25': {'k': 50}}}
    """
    changed: dict[str, Any] = yaml.safe_load(yaml.safe_dump(config, sort_keys=False))
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ConfigError("an override must look like key.key=value", value=assignment)
        holder: Any = changed
        *parents, last = path.split(".")
        for key in parents:
            holder = _inside(holder, key, assignment, make=True)
        if isinstance(holder, list):
            _inside(holder, last, assignment, make=False)
            holder[int(last)] = yaml.safe_load(text)
        elif isinstance(holder, dict):
            holder[last] = yaml.safe_load(text)
        else:
            raise ConfigError("an override goes through a value that holds nothing", value=assignment)
    return changed


def _inside(holder: Any, key: str, assignment: str, *, make: bool) -> Any:
    """One step of an override's path."""
    if isinstance(holder, dict):
        if key not in holder and make:
            holder[key] = {}
        return holder.get(key)
    if isinstance(holder, list) and key.isdigit() and int(key) < len(holder):
        return holder[int(key)]
    raise ConfigError("an override's path does not exist", value=assignment)
