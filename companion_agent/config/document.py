"""A YAML file as a tree of texts, in which every key knows its line.

All plain values stay the texts that the user typed, and the declared types decide what they are.
So `password: 0123` and `name: no` mean what they say, and an environment variable means the same
as the line in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import re
from typing import TYPE_CHECKING

import yaml

from companion_agent.config.errors import Mistake
from companion_agent.config.origins import Origins, Place, dotted, values_in
from companion_agent.config.settings import SECRETS
from companion_agent.storage.plain import read_plain

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.values import Raw

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000

_STANDARD = "tag:yaml.org,2002:"
_QUOTES = "put it in quotes"
_QUOTE_VALUE = "put the value in quotes"
# What PyYAML says, and what is said instead: its words quote the line, which may hold a secret.
_SYNTAX = (
    ("'\\t'", "is indented with a tab; YAML wants spaces"),
    (
        "mapping values are not allowed",
        f"is not valid YAML: a colon where none is expected; indent the line, or {_QUOTE_VALUE}",
    ),
    ("undefined alias", f"has a value that begins with *; {_QUOTES}"),
    ("duplicate anchor", f"has a value that begins with &, as one before does; {_QUOTES}"),
    ("scanning an anchor", f"has a value that begins with &; {_QUOTES}"),
    ("scanning an alias", f"has a value that begins with *; {_QUOTES}"),
    ("tag handle", f"has a value that begins with !; {_QUOTES}"),
    ("parsing a tag", f"has a value that begins with !; {_QUOTES}"),
    ("scanning a tag", f"has a value that begins with !; {_QUOTES}"),
    ("cannot start any token", f"has a value that begins with %, @ or a backtick; {_QUOTES}"),
    ("directive", f"has a line that begins with %; {_QUOTES}"),
    (
        "double-quoted scalar",
        "is not valid YAML: a backslash in double quotes needs a second one; use single quotes",
    ),
)
# A value that YAML takes for a comment, as in `password: #x`; words after # are one.
_COMMENT = re.compile(r"[ \t]+#[^\s#]")
_EXAMPLE = "a file that works has one line: `broker: mqtt.local`"


@dataclass(slots=True)
class Document:
    """What was written, and where.

    Attributes:
        tree: The keys and their values.
        places: Where each of them was written: file and line, or environment variable.
        mistakes: What could not even be read.
    """

    tree: dict[str, Raw] = field(default_factory=dict, repr=False)
    places: dict[Place, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def where(self, place: Place) -> str:
        """Return where a key was written, or what it belongs to."""
        for length in range(len(place), -1, -1):
            if found := self.places.get(place[:length]):
                return found
        return ""

    def origins(self) -> Origins:
        """Return where each value was written."""
        return Origins({place: self.where(place) for place, _ in values_in(self.tree)})


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


def read_bytes(data: bytes, name: str) -> Document:
    """Read what a file holds; what is wrong with it is among the document's mistakes."""
    document = Document(places={(): name})
    _parse(data, document, name)
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
            _Reader(document, name, loader, text).read_root(node)
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
    """Say where a text is not YAML, and why, without a word of it: it may hold a secret."""
    if isinstance(error, yaml.reader.ReaderError):
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        return Mistake(f"{name}:{line}", "", "holds a character that YAML does not allow")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{name}:{mark.line + 1}" if mark else name
    problem = str(getattr(error, "problem", None) or "")
    context = str(getattr(error, "context", None) or "")
    if "expected a single document" in context:
        return Mistake(
            where, "", "is not valid YAML: a second document begins here; one is expected"
        )
    for sign, words in _SYNTAX:
        if sign in problem or sign in context:
            return Mistake(where, "", words)
    # What was found is a piece of the file, unless it is a name of YAML's own.
    problem = re.sub(r"(, but)? (found|got) '(?!<).*", "", problem)
    return Mistake(where, "", f"is not valid YAML: {problem or 'it cannot be read'}")


class _HopelessError(Exception):
    """A file that cannot be read to its end, because it has none."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__()
        self.mistake = mistake


class _Reader:
    """Turns YAML's nodes into a tree of texts and notes where everything stands."""

    def __init__(self, document: Document, name: str, loader: yaml.SafeLoader, text: str) -> None:
        self._document = document
        self._name = name
        self._loader = loader
        self._text = text
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
        self._find_what_is_lost(node, place)
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
            elif ":" in key_node.value:
                # {password:x} is a key without a value, whose name must not be shown.
                begin = (*place, key_node.value.partition(":")[0])
                self._mistake(key_node, begin, "needs a space after the colon")
        return tree

    def _find_what_is_lost(self, node: yaml.Node, place: Place) -> None:
        """Report what YAML takes away from a value: tags, anchors and comments."""
        begin = node.start_mark.index
        sign = self._text[begin : begin + 1]
        null = _is_null(node)
        if node.tag == "!secret":
            problem = (
                "!secret is known to Home Assistant only; set the variable, name a file that holds "
                "it, or put the value in quotes if it begins with that"
            )
        elif sign == "!" and self._text[begin + 1 : begin + 2] != "!":
            problem = f"begins with !, and YAML takes that away; {_QUOTES}"
        elif node.tag == f"{_STANDARD}binary" or (null and sign == "!" and node.value):
            problem = f"begins with !!, and YAML makes something else of it; {_QUOTES}"
        elif null and sign == "&":
            problem = f"begins with &, and YAML takes that away; {_QUOTES}"
        elif null and place and place[-1] in SECRETS and _COMMENT.match(self._text, begin):
            problem = f"begins with #, which is a comment to YAML; {_QUOTES}"
        else:
            return
        self._mistake(node, place, problem)

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
        mistake = Mistake(self._where(node), dotted(place), problem)
        if mistake not in self._document.mistakes:  # an alias is read where it is used
            self._document.mistakes.append(mistake)


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == f"{_STANDARD}null")
