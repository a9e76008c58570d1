"""What environment variables, credentials and their files say, put over what the file says."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from companion_agent.config.broker_address import expand_broker
from companion_agent.config.errors import Mistake
from companion_agent.config.settings import SECRETS
from companion_agent.fields import FILE
from companion_agent.storage.plain import is_there
from companion_agent.values import closest, expand_home, read_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from companion_agent.config.document import Document
    from companion_agent.config.origins import Place
    from companion_agent.values import Raw

ENV_PREFIX = "PILOT_"
# Variables with the prefix that are not keys of the configuration.
ENV_OTHER = frozenset({"PILOT_CONFIG"})

# Files that systemd's LoadCredential= and the like hand over, by the key that they set.
_CREDENTIALS = (
    "broker.username",
    "broker.password",
    "broker.tls.key_password",
    "security.fleet_key",
)


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
    return closest(name, known, 0.75) or closest(name, same_section, 0)


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
    put(document, key, value, where)


def _set_on_brokers(document: Document, key: tuple[str, ...], text: str, where: str) -> None:
    brokers = document.tree.get("broker", {})
    if not isinstance(brokers, list):
        expanded = expand_broker(brokers)
        if isinstance(expanded, dict):
            document.tree["broker"] = expanded
            put(document, key, text, where)
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
            put(document, ("broker", number, *key[1:]), text, where)


def put(document: Document, place: Place, value: Raw, where: str) -> None:
    """Set a key, and note where that was written."""
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
        if last in SECRETS:
            parent.pop(f"{last}{FILE}", None)
        elif last.removesuffix(FILE) in SECRETS:
            parent.pop(last.removesuffix(FILE), None)
        document.places[place] = where


def apply_credentials(document: Document, environment: Mapping[str, str]) -> None:
    """Put what systemd hands over as files over what the file says.

    Args:
        document: Is changed.
        environment: Names their folder.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    for name in _CREDENTIALS if folder else ():
        path = Path(folder or "", name)
        if not is_there(path):
            continue
        try:
            secret = read_secret(path)
        except ValueError as error:
            document.mistakes.append(Mistake(str(path), "", f"holds no secret: {error}"))
        else:
            override(document, tuple(name.split(".")), secret, f"credential {path}")


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
        if key in SECRETS or _has_password(text, place):
            if file and document.where(place).startswith(f"{file}:"):
                found[file] = None
        elif key == "client_key" or key.removesuffix(FILE) in SECRETS:
            with contextlib.suppress(ValueError):
                found[base / expand_home(text)] = None
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
