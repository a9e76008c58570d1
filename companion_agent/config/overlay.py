"""What Home Assistant has set, kept in the agent's state folder and never in the person's file.

It counts only where neither the file nor the environment says anything. The keys that it may hold
are those that are declared as `remote`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
import hashlib
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.config.environment import put
from companion_agent.config.errors import Mistake
from companion_agent.config.origins import HOME_ASSISTANT, dotted
from companion_agent.config.settings import CollectorConfig, Config
from companion_agent.errors import PilotError
from companion_agent.fields import Section, declared, value_of
from companion_agent.storage.files import (
    make_private_folder,
    read_bytes,
    read_versioned,
    write_private,
)
from companion_agent.storage.permissions import AS_ADMINISTRATOR
from companion_agent.values import Leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from companion_agent.config.document import Document
    from companion_agent.config.known import Known
    from companion_agent.fields import Declared
    from companion_agent.values import Raw

OVERLAY_FILE = "settings.json"
MAX_VALUES = 1000
_VERSION = 1
_REVISION_DIGITS = 16


class OverlayError(PilotError):
    """What was set cannot be read or kept; the text says why and what to do."""


class RemoteKey(NamedTuple):
    """A key that Home Assistant may set.

    Attributes:
        place: The steps to it in the file.
        kind: What its value is.
        default: Its value where nothing says another.
        value: Returns its value in a configuration.
    """

    place: tuple[str, ...]
    kind: Leaf[Any]
    default: Any
    value: Callable[[Config], Any]

    @property
    def section(self) -> str:
        """The key of the section that it is in."""
        return ".".join(self.place[:-1])


def remote_keys(collectors: Mapping[str, Known]) -> dict[str, RemoteKey]:
    """Return the keys that Home Assistant may set, by key in dots.

    Args:
        collectors: The collectors that there are. Where one has nothing to choose from, `include`
            and `exclude` are no keys.
    """
    return {".".join(key.place): key for key in _remote_keys(collectors)}


def _remote_keys(collectors: Mapping[str, Known]) -> Iterator[RemoteKey]:
    for one in declared(Config):
        kind, place = one.setting.kind, tuple(one.key.split("."))
        if isinstance(kind, Section):
            for below, leaf in _remote(kind):
                attribute = (*one.attribute, *below.attribute)
                yield RemoteKey(
                    (*place, below.key),
                    leaf,
                    below.default,
                    partial(value_of, attribute=attribute),
                )
    for name, known in collectors.items():
        for below, leaf in _remote(Section(CollectorConfig)):
            if below.key in {"include", "exclude"} and not known.selects:
                continue
            yield RemoteKey(
                ("collectors", name, below.key),
                leaf,
                known.interval if below.key == "interval" else below.default,
                partial(_of_collector, name=name, attribute=below.attribute),
            )


def _remote(section: Section) -> Iterator[tuple[Declared, Leaf[Any]]]:
    for one in declared(section.of):
        if one.setting.remote and isinstance(one.setting.kind, Leaf):
            yield one, one.setting.kind


def _of_collector(config: Config, name: str, attribute: tuple[str, ...]) -> Any:  # noqa: ANN401
    return value_of(config.collector(name), attribute)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What Home Assistant has set.

    Attributes:
        values: The values as JSON holds them, by key in dots.
    """

    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def revision(self) -> str:
        """What tells it from every other content."""
        content = json.dumps(dict(self.values), sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()[:_REVISION_DIGITS]

    def changed(self, changes: Mapping[str, Any]) -> Overlay:
        """Return it with other values; `None` takes one back."""
        values = {**self.values, **changes}
        return Overlay({key: value for key, value in values.items() if value is not None})

    def put_below(self, document: Document, collectors: Mapping[str, Known]) -> list[Mistake]:
        """Put it below what was written on this host, and say what may not be in it."""
        allowed = remote_keys(collectors)
        origins = document.origins()
        wrong = []
        for key, value in self.values.items():
            if key not in allowed:
                problem = "is no setting that Home Assistant may change here"
                wrong.append(Mistake(HOME_ASSISTANT, key, problem))
            elif not origins.of(allowed[key].place):
                put(document, allowed[key].place, as_written(value), HOME_ASSISTANT)
        return wrong

    def take_out(self, document: Document, keys: Collection[str]) -> None:
        """Take those of its values out that mistakes are about."""
        for place in [one for one, where in document.places.items() if where == HOME_ASSISTANT]:
            if any(key.startswith(dotted(place)) for key in keys):
                *above, last = place
                below: Raw = document.tree
                for step in above:
                    if isinstance(below, dict) and isinstance(step, str):
                        below = below[step]
                if isinstance(below, dict) and isinstance(last, str):
                    below.pop(last, None)
                del document.places[place]

    @classmethod
    def read(cls, folder: Path) -> Overlay:
        """Read what is kept.

        Raises:
            OverlayError: The file is there, but cannot be used.
        """
        path = folder / OVERLAY_FILE
        way_out = "pilot-agent settings reset --all begins anew"
        try:
            values = read_versioned(read_bytes(path), _VERSION).get("values")
        except FileNotFoundError:
            return cls()
        except PermissionError as error:
            raise OverlayError(
                f"{path} may not be read by this user; {AS_ADMINISTRATOR}"
            ) from error
        except OSError as error:
            raise OverlayError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            text = f"what was set from Home Assistant ({path}) is damaged: {error}; {way_out}"
            raise OverlayError(text) from error
        if not isinstance(values, dict) or len(values) > MAX_VALUES:
            raise OverlayError(f"{path} is damaged: it holds no values; {way_out}")
        return cls(values)

    def write(self, folder: Path) -> None:
        """Keep it.

        Raises:
            OverlayError: That did not work; what was there before still is.
        """
        path = folder / OVERLAY_FILE
        content = json.dumps({"version": _VERSION, "values": dict(self.values)}, indent=2)
        try:
            make_private_folder(folder)
            write_private(path, content + "\n")
        except OSError as error:
            text = f"this cannot be kept in {path}: {error.strerror or error}"
            raise OverlayError(text) from error


def as_written(value: object) -> Raw:
    """Return what a file would hold for a value of JSON; what no file can hold says so."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return [as_written(one) for one in value]
    if isinstance(value, dict):
        return {str(name): as_written(one) for name, one in value.items()}
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
