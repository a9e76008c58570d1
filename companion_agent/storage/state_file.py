"""A file of JSON in the state folder that a part of the agent keeps over restarts."""

from __future__ import annotations

from contextlib import suppress
import json
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from companion_agent.storage.files import (
    NewerFileError,
    make_private_folder,
    move,
    read_bytes,
    read_versioned,
    write_private,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_Content = TypeVar("_Content")


class StateFile:
    """What a part of the agent keeps; without a folder nothing outlasts the process.

    Args:
        folder: The state folder.
        name: The file's.
        version: Of its content; one of an earlier version is as good as damaged, and one of a later
            version is left until there is something to keep.
    """

    def __init__(self, folder: Path | None, name: str, version: int = 1) -> None:
        self.path = folder / name if folder else None
        self._version = version

    def load(self, parse: Callable[[Mapping[str, Any]], _Content]) -> _Content | None:
        """Read the file; `None` where there is none.

        One that is damaged is moved aside and logged: the agent starts without it.

        Args:
            parse: Reads its content; raises `ValueError` for what cannot be meant.
        """
        if self.path is None:
            return None
        try:
            return parse(read_versioned(read_bytes(self.path), self._version))
        except FileNotFoundError:
            return None
        except OSError as error:
            _LOGGER.warning("%s cannot be read: %s", self.path, error.strerror)
        except NewerFileError as error:
            # An update that was taken back. Its version finds it again, unless this one keeps more.
            _LOGGER.warning("%s is not read: %s", self.path, error)
        except ValueError as error:
            _LOGGER.warning("%s is damaged and moved aside: %s", self.path, error)
            with suppress(OSError):
                move(self.path, self.path.with_name(f"{self.path.name}.damaged"))
        return None

    def save(self, content: Mapping[str, Any]) -> None:
        """Replace its content.

        Raises:
            OSError: That did not work; the old content is still there.
        """
        if self.path is None:
            return
        make_private_folder(self.path.parent)
        write_private(self.path, json.dumps({"version": self._version, **content}) + "\n")
