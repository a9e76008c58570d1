"""Where a configuration comes from: a YAML file and environment variables, as one tree of texts.

All plain values stay the texts that the user typed, and the schema decides what they are. So
`password: 0123` and `name: no` mean what they say, and an environment variable means the same
as the line in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import difflib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import yaml

from companion_agent.config.errors import Mistake
from companion_agent.storage.plain import read_plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Raw = str | dict[str, "Raw"] | list["Raw"]
Place = tuple[str | int, ...]

ENV_PREFIX = "PILOT_"
# Variables with the prefix that are not keys of the configuration.
ENV_OTHER = frozenset({"PILOT_CONFIG"})
MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000

# Keys that hold a secret; with `_file` behind them they name a file that does.
_SECRETS = ("password", "key_password", "fleet_key")
_EXAMPLE = "a file that works has one line: `broker: mqtt.local`"


@dataclass(slots=True)
class Document:
    """What was written, and where.

    Attributes:
        tree: The keys and their values.
        places: Where each of them was written: file and line, or environment variable.
        mistakes: What could not even be read.
    """

    tree: dict[str, Raw] = field(default_factory=dict)
    places: dict[Place, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def where(self, place: Place) -> str:
        """Return where a key was written, or what it belongs to."""
        for length in range(len(place), -1, -1):
            if found := self.places.get(place[:length]):
                return found
        return ""


def read_file(path: Path) -> Document:
    """Read a file; what is wrong with it is among the document's mistakes."""
    document = Document(places={(): str(path)})
    try:
        data = read_plain(path, MAX_BYTES + 1)
    except FileNotFoundError:
        document.mistakes.append(Mistake(str(path), "", "there is no such file"))
    except OSError as error:
        document.mistakes.append(Mistake(str(path), "", f"cannot be read: {error.strerror}"))
    else:
        _parse(data, document, str(path))
    return document


def _parse(data: bytes, document: Document, name: str) -> None:
    if len(data) > MAX_BYTES:
        document.mistakes.append(Mistake(name, "", f"is larger than {MAX_BYTES // 1024} KiB"))
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        document.mistakes.append(
            Mistake(f"{name}:{line}", "", "is not UTF-8; save the file in that encoding")
        )
        return
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            _Reader(document, name, loader).read_root(node)
    except yaml.YAMLError as error:
        document.mistakes.append(_syntax_mistake(error, text, name))
    except _HopelessError as error:
        document.mistakes = [error.mistake]
    except RecursionError:
        document.mistakes = [Mistake(name, "", "is nested too deeply")]
    finally:
        if loader:
            loader.dispose()


def _syntax_mistake(error: yaml.YAMLError, text: str, name: str) -> Mistake:
    if isinstance(error, yaml.reader.ReaderError):
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        return Mistake(f"{name}:{line}", "", "holds a character that YAML does not allow")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{name}:{mark.line + 1}" if mark else name
    problem = str(getattr(error, "problem", None) or error)
    if "'\\t'" in problem:
        return Mistake(where, "", "is indented with a tab; YAML wants spaces")
    if "mapping values are not allowed" in problem:
        problem = "a colon where none is expected; indent the line, or put the value in quotes"
    if "expected a single document" in str(getattr(error, "context", "")):
        problem = "a second document begins here; one is expected"
    return Mistake(where, "", f"is not valid YAML: {problem}")


class _HopelessError(Exception):
    """A file that cannot be read to its end, because it has none."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__()
        self.mistake = mistake


class _Reader:
    """Turns YAML's nodes into a tree of texts and notes where everything stands."""

    def __init__(self, document: Document, name: str, loader: yaml.SafeLoader) -> None:
        self._document = document
        self._name = name
        self._loader = loader
        self._open: set[int] = set()
        self._left = MAX_NODES

    def read_root(self, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            if _is_null(node):
                return
            self._mistake(node, (), f"is not a mapping of keys to values; {_EXAMPLE}")
            return
        tree = self._read(node, ())
        if isinstance(tree, dict):
            self._document.tree = tree

    def _read(self, node: yaml.Node, place: Place) -> Raw | None:
        # Aliases can make a small file endless, or as good as endless.
        self._left -= 1
        if id(node) in self._open or not self._left:
            problem = "contains itself" if id(node) in self._open else "expands without end"
            raise _HopelessError(Mistake(self._where(node), dotted(place), problem))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._read_mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return self._read_list(node, place)
        finally:
            self._open.discard(id(node))
        return None if _is_null(node) else str(node.value)

    def _read_list(self, node: yaml.SequenceNode, place: Place) -> list[Raw]:
        items: list[Raw] = []
        for item in node.value:
            here = (*place, len(items))
            self._document.places[here] = self._where(item)
            value = self._read(item, here)
            if value is None:
                self._mistake(item, here, "is empty")
            else:
                items.append(value)
        return items

    def _read_mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Raw]:
        self._find_duplicates(node, place)
        self._loader.flatten_mapping(node)
        tree: dict[str, Raw] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(key_node, place, "has a key that is not a text")
                continue
            here = (*place, key_node.value)
            self._document.places[here] = self._where(key_node)
            value = self._read(value_node, here)
            # A key without a value is a line that waits to be filled in: as if it were not there.
            if value is not None:
                tree[key_node.value] = value
        return tree

    def _find_duplicates(self, node: yaml.MappingNode, place: Place) -> None:
        first: dict[str, int] = {}
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<":
                continue
            line = key_node.start_mark.line + 1
            if key in first:
                self._mistake(key_node, (*place, key), f"is already set in line {first[key]}")
            first.setdefault(key, line)

    def _where(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"

    def _mistake(self, node: yaml.Node, place: Place, problem: str) -> None:
        self._document.mistakes.append(Mistake(self._where(node), dotted(place), problem))


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def dotted(place: Place) -> str:
    """Write a place as users do: `broker.port`; the second of several is `broker[2]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step + 1}]"
        else:
            text += f".{step}" if text else step
    return text


# --- Environment variables -------------------------------------------------------------------


def variable(key: Collection[str]) -> str:
    """Return the name of the environment variable for a key."""
    return ENV_PREFIX + "__".join(step.upper().replace("-", "_") for step in key)


def apply_environment(
    document: Document, environment: Mapping[str, str], keys: Collection[tuple[str, ...]]
) -> None:
    """Put environment variables over what the file says.

    Args:
        document: Is changed.
        environment: The environment.
        keys: All keys of the configuration that have no keys below them.
    """
    known = {variable(key): key for key in keys}
    known[variable(["broker"])] = ("broker",)
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX) or name in ENV_OTHER:
            continue
        if name in known:
            override(document, known[name], environment[name], f"environment variable {name}")
        elif meant := _meant(name, known):
            document.mistakes.append(
                Mistake(f"environment variable {name}", "", f"is not known; did you mean {meant}?")
            )


def _meant(name: str, known: Collection[str]) -> str:
    """Find the variable that was probably meant; none for what belongs to other programs."""
    same_section = [other for other in known if other.split("__", 1)[0] == name.split("__", 1)[0]]
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return next(iter(close or difflib.get_close_matches(name, same_section, 1, 0)), "")


def override(document: Document, key: tuple[str, ...], text: str, where: str) -> None:
    """Set a key, whatever the file says; those of a broker on all of them."""
    if key[0] == "broker" and len(key) > 1:
        _set_on_brokers(document, key, text, where)
        return
    value: Raw = text
    if key == ("broker",) and "," in text:
        value = [item.strip() for item in text.split(",")]
    for place in [place for place in document.places if place[: len(key)] == key]:
        del document.places[place]
    _put(document, key, value, where)


def _set_on_brokers(document: Document, key: tuple[str, ...], text: str, where: str) -> None:
    brokers = document.tree.get("broker", {})
    if not isinstance(brokers, list):
        expanded = expand_broker(brokers)
        if isinstance(expanded, dict):
            document.tree["broker"] = expanded
            _put(document, key, text, where)
        return
    if key in {("broker", "host"), ("broker", "port")}:
        document.mistakes.append(
            Mistake(where, "", "is about one broker, but the file lists several; set PILOT_BROKER")
        )
        return
    for number, broker in enumerate(brokers):
        expanded = expand_broker(broker)
        if isinstance(expanded, dict):
            brokers[number] = expanded
            _put(document, ("broker", number, *key[1:]), text, where)


def _put(document: Document, place: Place, value: Raw, where: str) -> None:
    parent: Raw = document.tree
    for step in place[:-1]:
        if isinstance(parent, list) and isinstance(step, int):
            parent = parent[step]
        elif isinstance(parent, dict) and isinstance(step, str):
            child = parent.get(step)
            if not isinstance(child, (dict, list)):
                child = parent[step] = {}
            parent = child
    last = place[-1]
    if isinstance(parent, dict) and isinstance(last, str):
        parent[last] = value
        # A secret and the file that holds it are one key said in two ways.
        twin = last.removesuffix("_file") if last.endswith("_file") else f"{last}_file"
        if last.startswith(_SECRETS):
            parent.pop(twin, None)
        document.places[place] = where


# --- Secrets ---------------------------------------------------------------------------------


def secret_files(document: Document, file: Path | None, base: Path) -> tuple[Path, ...]:
    """Name the files that hold secrets: the configuration, where it does, and those it names.

    Args:
        document: What was written.
        file: The configuration file; `None` where there is none.
        base: What paths in it start from.
    """
    found: dict[Path, None] = {}
    for place, text in _texts(document.tree, ()):
        key = str(place[-1])
        if key in _SECRETS or _has_password(text, place):
            if file and document.where(place).startswith(f"{file}:"):
                found[file] = None
        elif key == "client_key" or key.removesuffix("_file") in _SECRETS:
            found[base / Path(text).expanduser()] = None
    return tuple(found)


def _texts(tree: Raw, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(tree, str):
        yield place, tree
        return
    for step, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _texts(below, (*place, step))


def _has_password(text: str, place: Place) -> bool:
    expanded = expand_broker(text) if place[0] == "broker" and len(place) <= 2 else None
    return isinstance(expanded, dict) and "password" in expanded


# --- A broker as a text ----------------------------------------------------------------------


def expand_broker(broker: Raw) -> Raw:
    """Turn a broker that is one text into its keys; what is not such a text stays as it is."""
    if not isinstance(broker, str):
        return broker
    try:
        return parse_broker(broker)
    except ValueError:
        return broker


def parse_broker(text: str) -> dict[str, Raw]:
    """Read `host`, `host:port`, `mqtt://user:password@host:port` or the same with `mqtts`.

    Raises:
        ValueError: It is none of these; the text says why.
    """
    text = text.strip()
    if text.count(":") > 1 and "://" not in text and "[" not in text:
        text = f"[{text}]"  # a bare IPv6 address
    url = urlsplit(text if "://" in text else f"mqtt://{text}")
    if url.scheme not in {"mqtt", "mqtts"}:
        raise ValueError(f"begins with {url.scheme}://, but mqtt:// or mqtts:// is expected")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("goes on after the host and port")
    if not url.hostname:
        raise ValueError("names no host")
    broker: dict[str, Raw] = {"host": url.hostname}
    try:
        port = url.port
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    if port is not None:
        broker["port"] = str(port)
    if url.username:
        broker["username"] = unquote(url.username)
    if url.password:
        broker["password"] = unquote(url.password)
    if url.scheme == "mqtts":
        broker["tls"] = "true"
    return broker
