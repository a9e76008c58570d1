"""Looks for a release or fetches it, in a process of its own, so that its memory goes with it.

One JSON object on the input says what to do; lines of JSON on the output say how it goes.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
import sys
import time
from typing import TYPE_CHECKING, Any

from companion_agent.updates import compatibility, sources
from companion_agent.updates.release import (
    SUFFIX,
    ArtifactError,
    check_wheel,
    open_signed,
    trusted,
)
from companion_agent.updates.store import Releases

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seconds between two lines about how far it is.
_PACE = 0.5


def main() -> int:
    """Do what the input says; what comes of it is the last line."""
    task = json.loads(sys.stdin.read())
    try:
        _say(_check(task) if task["do"] == "check" else _install(task))
    except ArtifactError as error:
        _say({"error": str(error)})
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        why = "the disk is full" if full else (error.strerror or str(error))
        _say({"error": f"the new version cannot be written: {why}"})
    return 0


def _check(task: Mapping[str, Any]) -> dict[str, Any]:
    keys = _keys(task)
    found = sources.newest(sources.find(task["source"], task.get("address", "")), keys)
    if found is None:
        return {"done": True, "newest": None}
    return {"done": True, "newest": {"version": found.version, "notes": found.notes}}


def _install(task: Mapping[str, Any]) -> dict[str, Any]:
    keys, releases = _keys(task), Releases(Path(task["releases"]))
    version, running = task["version"], task["running"]
    if version and task["upwards"]:
        _upwards(version, running)
    if version and (releases.folder / version).exists():
        try:
            releases.check(version, keys)
        except ArtifactError:
            pass  # fetched anew
        else:
            return {"done": True, "version": version}
    source = sources.find(task["source"], task.get("address", ""))
    if not version:
        found = sources.newest(source, keys)
        if found is None:
            raise ArtifactError("there is no release")
        version = found.version
        _upwards(version, running)
    signed = source.signed(version)
    manifest = open_signed(signed, keys)
    if manifest.version != version:
        raise ArtifactError(f"what is signed is about version {manifest.version}, not {version}")
    compatibility.check(manifest)
    with releases.receive(manifest.size) as folder:
        wheel = folder / manifest.wheel
        source.copy(manifest, wheel, _Progress(manifest.size))
        _say({"step": "checking", "percent": 100})
        check_wheel(wheel, manifest)
        wheel.with_name(wheel.name + SUFFIX).write_bytes(signed)
        releases.keep(folder, version)
    return {"done": True, "version": version}


def _upwards(version: str, running: str) -> None:
    if not compatibility.newer(version, running):
        raise ArtifactError(
            f"version {version} is not newer than {running}, which runs; "
            f"on the host itself: pilot-agent update --to {version}"
        )


def _keys(task: Mapping[str, Any]) -> dict[str, bytes]:
    return trusted(bytes.fromhex(key) for key in task["keys"])


class _Progress:
    """Says now and then how much has come."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._due = 0.0

    def __call__(self, got: int) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _PACE
            _say({"step": "downloading", "percent": min(99, 100 * got // self._size)})


def _say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
