"""Releases of the agent as it is here, under another version, signed, and broken as wished."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from typing import TYPE_CHECKING
import zipfile

from .paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CRASHES = {
    "companion_agent/cli/__init__.py": "raise RuntimeError('this version does not even start')\n"
}
HANGS = {"companion_agent/runtime.py": "import time\ntime.sleep(3600)\n"}
# It runs and never connects.
DEAF = {
    "companion_agent/runtime.py": (
        "import time\n\ndef run(config, launched, load, notifier):\n"
        "    notifier().ready()\n    time.sleep(3600)\n"
    )
}
# It stays connected for three seconds, and is gone without a word.
DIES = {
    "companion_agent/runtime.py": (ROOT / "companion_agent" / "runtime.py").read_text("utf-8")
    + """

import os
import signal
import threading

_step = Updater._step


def _step_and_die(self):
    if self._online() and not hasattr(self, "dies"):
        self.dies = threading.Timer(3, os.kill, (os.getpid(), signal.SIGKILL))
        self.dies.start()
    _step(self)


Updater._step = _step_and_die
"""
}
# It cannot read what it has written itself.
STARTS_ONCE = {
    "companion_agent/runtime.py": (ROOT / "companion_agent" / "runtime.py").read_text("utf-8")
    + """

_run_well = run


def run(config, launched, load, notifier=Notifier):
    written = config.state_dir / "written"
    if written.exists():
        raise RuntimeError("this version does not start a second time")
    written.touch()
    return _run_well(config, launched, load, notifier)
"""
}
ENDS = {
    "companion_agent/runtime.py": (
        "def run(config, launched, load, notifier):\n    raise SystemExit(2)\n"
    )
}


class Maker:
    """Signs releases with a key of its own.

    Args:
        folder: Where they are written.

    """

    def __init__(self, folder: Path) -> None:
        # Not every environment of the bench has it.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    @property
    def key(self) -> str:
        """The public key, as hosts are given it."""
        return base64.b64encode(self.public).decode()

    def make(
        self,
        version: str,
        replaced: Mapping[str, str] | None = None,
        notes: str = "",
        **signed: object,
    ) -> Path:
        """Make a release, and return its wheel.

        Args:
            version: Its version.
            replaced: Modules that are replaced or added, by their path.
            notes: What is new.
            **signed: What is signed about it, where that is to differ.

        """
        wheel = self.folder / f"pilot_agent-{version}-py3-none-any.whl"
        files = _sources().copy()
        files["companion_agent/__init__.py"] = f'"""The agent."""\n\n__version__ = "{version}"\n'
        metadata = f"Metadata-Version: 2.4\nName: pilot-agent\nVersion: {version}\n"
        files[f"pilot_agent-{version}.dist-info/METADATA"] = metadata
        files |= replaced or {}
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, text in files.items():
                packed.writestr(name, text)
        self.sign(wheel, version, notes, **signed)
        return wheel

    def sign(self, wheel: Path, version: str, notes: str = "", **signed: object) -> Path:
        """Sign a wheel as it is now, and return what was signed."""
        content = wheel.read_bytes()
        body = json.dumps(
            {
                "name": "pilot-agent",
                "version": version,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "requires_python": ">=3.11",
                "requires": ["paho-mqtt>=2.1", "another-systems; sys_platform == 'aix'"],
                "notes": notes,
                **signed,
            }
        )
        signature = self._key.sign(b"pilot-agent release 1\n" + body.encode())
        path = wheel.with_name(f"{wheel.name}.json")
        document = {
            "pilot_release": 1,
            "body": body,
            "signatures": {
                hashlib.sha256(self.public).hexdigest()[:16]: base64.b64encode(signature).decode()
            },
        }
        path.write_text(json.dumps(document), "utf-8")
        return path


@functools.cache
def _sources() -> dict[str, str]:
    """Read the agent once: in Wine that takes longer than all else about a release."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for path in sorted((ROOT / "companion_agent").rglob("*.py"))
    }
