"""A release as it travels: a wheel of the agent, and beside it what its maker signed about it.

The signed file is named like the wheel with `.json` after it, and holds an envelope as that of
the protocol: a text that is signed byte for byte, and signatures by the keys' ids. Nothing is
ever unpacked: a release is one file that is checked as one, and Python runs it as it is.

`deploy/release.py` writes what is read here, and `custom_components/pilot/bundled_release.py`
hands it on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.config.updates import parse_key
from companion_agent.protocol.validation import MAX_NOTES
from companion_agent.storage.plain import open_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from zipfile import ZipInfo

FORMAT = 1
PROJECT = "pilot-agent"
SUFFIX = ".json"
CONTEXT = b"pilot-agent release 1\n"
"""What a signature covers before the text: nothing else that the key signs is taken for it."""

RELEASE_KEYS: tuple[str, ...] = ()
"""Public keys of the project's releases, in base64. There is none yet: `docs/security.md`."""

MAX_SIGNED = 256 * 1024
MAX_WHEEL = 32 * 1024 * 1024
MAX_UNPACKED = 128 * 1024 * 1024
MAX_REQUIREMENTS = 64

# What `packaging` spells the same way after reading it; no epochs and no local versions.
VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){1,3}((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?")
_WHEEL = re.compile(r"pilot_agent-([0-9a-z.]+)-py3-none-any\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """A release is not what it should be, or not for this host; the text says why."""


class Manifest(NamedTuple):
    """What a release's maker signed about it.

    Attributes:
        version: Its version.
        size: The wheel's size in bytes.
        sha256: The wheel's hash, in hex.
        requires_python: The Pythons that it runs with, as a wheel's metadata say it.
        requires: The libraries that it needs, as a wheel's metadata say it.
        notes: What is new, in Markdown.
    """

    version: str
    size: int
    sha256: str
    requires_python: str
    requires: tuple[str, ...]
    notes: str = ""

    @property
    def wheel(self) -> str:
        """The wheel's file name."""
        return wheel_name(self.version)


def wheel_name(version: str) -> str:
    """Return the file name of a version's wheel."""
    return f"pilot_agent-{version}-py3-none-any.whl"


def version_of(name: str) -> str:
    """Return the version that a wheel's file name says; empty when it is none of the agent's."""
    found = _WHEEL.fullmatch(name)
    return found[1] if found and VERSION.fullmatch(found[1]) else ""


def key_id(key: bytes) -> str:
    """Return what a public key is called in signed files."""
    return hashlib.sha256(key).hexdigest()[:16]


def trusted(configured: Iterable[bytes]) -> dict[str, bytes]:
    """Return the keys whose signature counts, by their ids."""
    return {key_id(key): key for key in (*map(parse_key, RELEASE_KEYS), *configured)}


# --- What is signed --------------------------------------------------------------------------


def open_signed(content: bytes, keys: Mapping[str, bytes]) -> Manifest:
    """Read a signed file, if one of the keys signed it.

    Raises:
        ArtifactError: None of the keys signed it, or what is signed breaks a rule.
    """
    outer = _object(content, "the signed file")
    if outer.get("pilot_release") != FORMAT:
        raise ArtifactError("the signed file has a format that this version does not know")
    body, signatures = outer.get("body"), outer.get("signatures")
    if not isinstance(body, str) or not isinstance(signatures, dict):
        raise ArtifactError("the signed file has no body or no signatures")
    if not keys:
        raise ArtifactError("this host trusts no key: set update.keys in its configuration")
    text = body.encode("utf-8", "surrogatepass")
    if not any(_signed(key, text, signatures.get(name)) for name, key in keys.items()):
        raise ArtifactError("it is not signed with a key that this host trusts")
    return _manifest(_object(text, "what is signed"))


def _signed(key: bytes, text: bytes, signature: object) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  (only updates need it)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    if not isinstance(signature, str):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            base64.b64decode(signature, validate=True), CONTEXT + text
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _manifest(content: Mapping[str, Any]) -> Manifest:
    version, size, digest = content.get("version"), content.get("size"), content.get("sha256")
    requires, notes = content.get("requires"), content.get("notes", "")
    python = content.get("requires_python")
    if content.get("name") != PROJECT:
        raise ArtifactError(f"what is signed is no release of {PROJECT}")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ArtifactError("what is signed names no proper version")
    if type(size) is not int or not 0 < size <= MAX_WHEEL:
        raise ArtifactError(f"its size is not a number of bytes up to {MAX_WHEEL}")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ArtifactError("its sha256 is not one")
    if not isinstance(python, str) or not isinstance(notes, str):
        raise ArtifactError("requires_python or notes is not a text")
    if (
        not isinstance(requires, list)
        or len(requires) > MAX_REQUIREMENTS
        or not all(isinstance(one, str) for one in requires)
    ):
        raise ArtifactError(f"requires is not a list of at most {MAX_REQUIREMENTS} texts")
    return Manifest(version, size, digest, python, tuple(requires), notes[:MAX_NOTES])


def _object(content: bytes, what: str) -> dict[str, Any]:
    if len(content) > MAX_SIGNED:
        raise ArtifactError(f"{what} is larger than {MAX_SIGNED} bytes")
    try:
        decoded = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ArtifactError(f"{what} is not JSON") from None
    if not isinstance(decoded, dict):
        raise ArtifactError(f"{what} is not a JSON object")
    return decoded


# --- The wheel -------------------------------------------------------------------------------


def check_wheel(path: Path, manifest: Manifest) -> None:
    """Make sure that a wheel is the one that was signed, and that it is one.

    Raises:
        ArtifactError: It is not.
    """
    import zipfile  # noqa: PLC0415  (only updates need it)

    try:
        with open_plain(path) as file:
            size = file.seek(0, 2)
            if size != manifest.size:
                text = f"{path.name} has {size} bytes instead of {manifest.size}"
                raise ArtifactError(text)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != manifest.sha256:
                text = f"{path.name} is not the file that was signed (its hash differs)"
                raise ArtifactError(text)
            with zipfile.ZipFile(file) as wheel:
                _check_content(wheel.infolist(), manifest.version)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    except zipfile.BadZipFile:
        raise ArtifactError(f"{path.name} is no wheel") from None


# Where `main` is, in this version and up to 0.1.
_COMMAND_LINES = ("companion_agent/cli/__init__.py", "companion_agent/cli.py")


def _check_content(members: Iterable[ZipInfo], version: str) -> None:
    # Its maker signed it, so this is against mistakes: Python runs it from the archive, which
    # works for its own modules alone.
    own = ("companion_agent/", f"pilot_agent-{version}.dist-info/")
    names, total = set(), 0
    for member in members:
        name = member.filename
        if not name.startswith(own) or ".." in name.split("/") or "\\" in name:
            raise ArtifactError(f"the wheel has a file that is not the agent's: {name!a}")
        if name.endswith((".so", ".pyd", ".pyc")):
            raise ArtifactError(f"the wheel is not pure Python: {name}")
        names.add(name)
        total += member.file_size
    if total > MAX_UNPACKED:
        raise ArtifactError(f"the wheel holds more than {MAX_UNPACKED} bytes")
    if names.isdisjoint(_COMMAND_LINES):
        raise ArtifactError(f"the wheel has no {_COMMAND_LINES[0]}")
