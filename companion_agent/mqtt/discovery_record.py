"""What the broker keeps of this host for MQTT discovery, noted in the state folder.

It has to be taken back when the configuration does not want it any more, and is not said again
once the Pilot integration has taken the entities over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.storage.files import (
    make_private_folder,
    read_bytes,
    read_versioned,
    write_json,
)

if TYPE_CHECKING:
    from pathlib import Path

RECORD_FILE = "discovery.json"
_VERSION = 1


def read_record(folder: Path) -> tuple[str, bool]:
    """Return the topic that was said, empty for none, and whether it was emptied since."""
    try:
        record = read_versioned(read_bytes(folder / RECORD_FILE), _VERSION)
    except (OSError, ValueError):
        return "", False
    topic = record.get("topic")
    return (topic, record.get("taken_over") is True) if isinstance(topic, str) else ("", False)


def write_record(folder: Path, topic: str, *, taken_over: bool) -> None:
    """Note it; without a topic there is nothing to note.

    Raises:
        OSError: That did not work.
    """
    make_private_folder(folder)
    if topic:
        record = {"version": _VERSION, "topic": topic, "taken_over": taken_over}
        write_json(folder / RECORD_FILE, record)
    else:
        (folder / RECORD_FILE).unlink(missing_ok=True)
