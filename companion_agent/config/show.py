"""The configuration as the agent sees it, written as a file that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from companion_agent.fields import ByName, Section, declared, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from companion_agent.config.origins import Place
    from companion_agent.config.settings import Config
    from companion_agent.fields import Declared, Kind


_ANY_WIDTH = 1_000_000


def show(config: Config) -> str:
    """Write the configuration as YAML, each value with where it comes from; secrets are hidden."""
    text = yaml.safe_dump(as_tree(config), sort_keys=False, allow_unicode=True, width=_ANY_WIDTH)
    lines = text.splitlines()
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        for place, line in _values(node, ()) if node else ():
            lines[line] += f"  # {_origin(config, place)}"
    finally:
        loader.dispose()
    return "\n".join([f"# {config.path or 'from the environment'}", *lines, ""])


def _values(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    """List the values of a document whose key's line has room for a comment, with that line."""
    for key, value in node.value:
        here = (*place, key.value)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _values(value, here)
        elif isinstance(value, yaml.SequenceNode) or key.start_mark.line == value.end_mark.line:
            yield here, key.start_mark.line


def _origin(config: Config, place: Place) -> str:
    origin = config.origins.of(place)
    if config.path and origin.startswith(f"{config.path}:"):
        return f"line {origin.rpartition(':')[2]}"
    return origin or "default"


def as_tree(owner: Any) -> dict[str, Any]:  # noqa: ANN401  (an instance of any section)
    """Return the keys of a section and their values as a file holds them; secrets are hidden."""
    tree: dict[str, Any] = {}
    given = {one.key: value_of(owner, one.attribute) for one in declared(type(owner))}
    for one in declared(type(owner)):
        if not _is_shown(one, given):
            continue
        written = _written(one.setting.kind, given[one.key])
        if written not in (None, {}):
            *above, last = one.key.split(".")
            below = tree
            for step in above:
                below = below.setdefault(step, {})
            below[last] = written
    return tree


def _is_shown(one: Declared, given: dict[str, Any]) -> bool:
    value, needed = given[one.key], one.setting.needs
    if needed and _is_empty(given[needed]):
        return False
    if one.setting.quiet and value == one.default:
        return False
    return not _is_empty(value) or bool(value != one.default)


def _is_empty(value: Any) -> bool:  # noqa: ANN401
    return not value and (isinstance(value, bool) or not isinstance(value, (int, float)))


def _written(kind: Kind, value: Any) -> Any:  # noqa: ANN401
    if isinstance(kind, ByName):
        return {name: _written(kind.value, below) for name, below in value.items()}
    if not isinstance(kind, Section):
        return kind.dump(value)
    if value is None:
        return None
    if isinstance(value, tuple):
        items = [as_tree(item) for item in value]
        return items[0] if kind.text and len(items) == 1 else items
    return as_tree(value) or (True if kind.switch else {})
