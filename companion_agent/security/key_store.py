"""The controllers that this host is paired with, kept on disk."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
import json
from typing import TYPE_CHECKING, Any, TypeGuard

from companion_agent.protocol.signing import SECRET_SIZE
from companion_agent.protocol.validation import is_controller, is_controller_name
from companion_agent.storage.files import (
    NewerFileError,
    make_private_folder,
    move,
    read_bytes,
    read_versioned,
    write_private,
)
from companion_agent.storage.permissions import AS_ADMINISTRATOR, Problem, check_private
from companion_agent.storage.plain import is_there

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_VERSION = 1
_MAX_TIME = 1e15


class StoreError(Exception):
    """The keys cannot be read or kept; the text says what that means and what to do."""


@dataclass(frozen=True, slots=True)
class Controller:
    """A Home Assistant that this host is paired with.

    Attributes:
        id: Its id, 16 hexadecimal digits.
        name: What it calls itself.
        secret: What host and controller share.
        since: When they were paired, in seconds since 1970.
    """

    id: str
    name: str
    secret: bytes = field(repr=False)
    since: float


class TrustStore:
    """Reads and writes `trust.json` in the agent's state folder.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "trust.json"
        self._aside = folder / "trust.json.damaged"

    def load(self) -> list[Controller]:
        """Read the controllers; none when the host was never paired.

        A damaged file is moved aside and reported: going on as if the host had never been
        paired would hide that it has to be paired again. One of a newer version of the agent stays
        for that: an update may have been taken back.

        Raises:
            StoreError: The file is there, but cannot be used.
        """
        content = self._read()
        try:
            return parse(content) if content is not None else []
        except NewerFileError as error:
            raise StoreError(self._newer()) from error
        except ValueError as error:
            raise StoreError(self._move_aside(error)) from error

    def peek(self) -> list[Controller]:
        """Read the controllers and change nothing, whatever is found.

        Raises:
            StoreError: The file is there, but cannot be used.
        """
        content = self._read()
        try:
            return parse(content) if content is not None else []
        except NewerFileError as error:
            raise StoreError(self._newer()) from error
        except ValueError as error:
            raise StoreError(f"the keys in {self._path} are damaged ({error})") from error

    def save(self, controllers: Iterable[Controller]) -> None:
        """Write the controllers, all or nothing.

        Raises:
            StoreError: That did not work; what was there before still is.
        """
        try:
            make_private_folder(self._folder)
            self._spare_newer()
            write_private(self._path, dump(controllers))
        except OSError as error:
            raise StoreError(f"the keys cannot be kept in {self._path}: {error}") from error

    def check(self) -> list[Problem]:
        """Say what an administrator should mend, for `pilot-agent doctor`."""
        problems = [*check_private(self._folder), *check_private(self._path)]
        if is_there(self._aside):
            text = f"{self._aside} holds keys that could not be read"
            fix = f"pair this host again (pilot-agent pair), then delete {self._aside}"
            problems.append(Problem(text, fix))
        return problems

    def _read(self) -> bytes | None:
        try:
            return read_bytes(self._path)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise StoreError(
                f"{self._path} may not be read by this user; {AS_ADMINISTRATOR}"
            ) from error
        except OSError as error:
            raise StoreError(f"the keys in {self._path} cannot be read: {error}") from error

    def _newer(self) -> str:
        return (
            f"the keys in {self._path} are those of a newer version of the agent; update it, or "
            "pair this host again"
        )

    def _spare_newer(self) -> None:
        """Move keys that this version cannot read out of the way of those that it keeps."""
        try:
            parse(read_bytes(self._path))
        except NewerFileError:
            move(self._path, self._folder / "trust.json.newer")
        except (OSError, ValueError):
            return

    def _move_aside(self, error: ValueError) -> str:
        text = f"the keys in {self._path} are damaged ({error}); pair this host again"
        try:
            move(self._path, self._aside)
        except OSError:
            return text
        return f"{text}, the damaged file was moved to {self._aside}"


def dump(controllers: Iterable[Controller]) -> str:
    """Write controllers as the file holds them."""
    content = [
        {
            "id": controller.id,
            "name": controller.name,
            "secret": base64.b64encode(controller.secret).decode(),
            "since": controller.since,
        }
        for controller in controllers
    ]
    return json.dumps({"version": _VERSION, "controllers": content}, indent=2) + "\n"


def parse(content: bytes) -> list[Controller]:
    """Read what `dump` wrote.

    Raises:
        ValueError: It is something else; the text says where.
    """
    entries = read_versioned(content, _VERSION).get("controllers")
    if not isinstance(entries, list):
        raise ValueError("controllers is not a list")  # noqa: TRY004  (one error for all)
    controllers = [_parse_controller(entry) for entry in entries]
    if len({controller.id for controller in controllers}) < len(controllers):
        raise ValueError("a controller stands there twice")
    return controllers


def parse_secret(text: object) -> bytes:
    """Read a secret of 32 bytes in base64.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(text, str):
        raise ValueError("secret is not text")  # noqa: TRY004  (one error for all)
    secret = base64.b64decode(text.encode("ascii", "replace"), validate=True)
    if len(secret) != SECRET_SIZE:
        raise ValueError("secret has not 32 bytes")
    return secret


def _is_time(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < _MAX_TIME  # also false for "not a number"
    )


def _parse_controller(entry: Any) -> Controller:  # noqa: ANN401  (whatever JSON holds)
    if not isinstance(entry, dict) or not is_controller(entry.get("id")):
        raise ValueError("a controller has no proper id")
    name, since = entry.get("name"), entry.get("since")
    if not is_controller_name(name):
        raise ValueError(f"controller {entry['id']} has no proper name")
    if not _is_time(since):
        raise ValueError(f"controller {entry['id']} has no time")
    return Controller(entry["id"], name, parse_secret(entry.get("secret")), float(since))
