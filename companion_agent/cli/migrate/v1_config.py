"""What a set-up of the first version says: an environment or YAML file as a list of keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from companion_agent.cli.migrate import env
from companion_agent.config.document import MAX_BYTES, read_file
from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.config.origins import dotted
from companion_agent.storage.plain import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from companion_agent.config.origins import Place
    from companion_agent.values import Raw


_YAML = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of the first version.

    Attributes:
        key: The key as it was written, in dots where it stood below others.
        value: Its value: a text, or a list in YAML.
        where: The file and line.
        note: What to know of how it was read; empty where nothing.
        again: The line that sets it again, so that this one did not count; 0 for none.
    """

    key: str
    value: Raw = field(repr=False)
    where: str
    note: str = ""
    again: int = 0


def read(path: Path) -> list[Entry]:
    """Read a file of the first version.

    Raises:
        ConfigError: It cannot be read; everything that is wrong is named.
    """
    try:
        data = read_plain(path, MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError([Mistake(str(path), "", "there is no such file")]) from None
    except OSError as error:
        raise ConfigError([Mistake(str(path), "", f"cannot be read: {error.strerror}")]) from None
    text = data.decode("utf-8-sig", "replace")
    if any(line.strip() == "[Service]" for line in text.splitlines()):
        problem = "is a systemd unit; name the file that its EnvironmentFile= names"
        raise ConfigError([Mistake(str(path), "", problem)])
    kind = path.suffix.lower()
    if kind in _YAML or (kind != ".env" and not env.looks_like_one(text)):
        return _read_yaml(path)
    if len(data) > MAX_BYTES:
        raise ConfigError([Mistake(str(path), "", f"is larger than {MAX_BYTES // 1024} KiB")])
    for number, line in enumerate(text.splitlines(), 1):
        if "\N{REPLACEMENT CHARACTER}" in line or "\0" in line:
            problem = "is not UTF-8; save the file in that encoding"
            raise ConfigError([Mistake(f"{path}:{number}", "", problem)])
    lines, wrong = env.read(text)
    if wrong:
        raise ConfigError([Mistake(f"{path}:{one.number}", one.name, one.problem) for one in wrong])
    last = {line.name: line.number for line in lines}
    return [
        Entry(
            line.name,
            line.value,
            f"{path}:{line.number}",
            line.note,
            last[line.name] if last[line.name] != line.number else 0,
        )
        for line in lines
    ]


def _read_yaml(path: Path) -> list[Entry]:
    document = read_file(path)
    if document.mistakes:
        raise ConfigError(document.mistakes)
    return [Entry(dotted(p), value, document.where(p)) for p, value in _leaves(document.tree, ())]


def _leaves(tree: dict[str, Raw], above: Place) -> Iterator[tuple[Place, Raw]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value
