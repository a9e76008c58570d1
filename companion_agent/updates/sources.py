"""Where releases come from: a folder, an index, or an address that Home Assistant names."""

from __future__ import annotations

from html.parser import HTMLParser
import io
import json
from pathlib import Path
import time
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from companion_agent.config.updates import is_address
from companion_agent.storage.plain import open_plain, read_plain
from companion_agent.updates.compatibility import highest
from companion_agent.updates.download import CHUNK, WHOLE, download
from companion_agent.updates.release import (
    MAX_SIGNED,
    PROJECT,
    SUFFIX,
    ArtifactError,
    Manifest,
    open_signed,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_INDEX = 4 * 1024 * 1024
# Of an index with a long history only the last ones are looked at.
_LOOKED_AT = 5
_ACCEPTED = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1"
)


class Source(Protocol):
    """Somewhere that releases come from."""

    def versions(self) -> list[str]:
        """Return the versions that are there, the highest first.

        Raises:
            ArtifactError: That cannot be found out.
        """

    def signed(self, version: str) -> bytes:
        """Return what is signed about a version.

        Raises:
            ArtifactError: It is not there.
        """

    def copy(self, manifest: Manifest, target: Path, progress: Callable[[int], None]) -> None:
        """Write a version's wheel to a file; whether it is the right one is not looked at.

        Raises:
            ArtifactError: It cannot be had.
            OSError: It cannot be written.
        """


def find(source: str, address: str = "") -> Source:
    """Return a source as the configuration names it.

    Args:
        source: `homeassistant`, a folder or an address.
        address: The wheel that Home Assistant named.

    Raises:
        ArtifactError: Home Assistant has to name the wheel, and has not.
    """
    if source == "homeassistant":
        return Address(address)
    return Index(source) if is_address(source) else Folder(Path(source))


def newest(source: Source, keys: Mapping[str, bytes]) -> Manifest | None:
    """Return the highest version that is signed; `None` when there is none at all.

    Raises:
        ArtifactError: Those that are there are not to be trusted, or cannot be read.
    """
    trouble: ArtifactError | None = None
    for version in source.versions()[:_LOOKED_AT]:
        try:
            manifest = open_signed(source.signed(version), keys)
        except ArtifactError as error:
            trouble = trouble or ArtifactError(f"version {version}: {error}")
            continue
        if manifest.version == version:
            return manifest
    if trouble:
        raise trouble
    return None


class Folder:
    """A folder, on this host or a file share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def versions(self) -> list[str]:
        """Return the versions that are there, the highest first."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise ArtifactError(f"{self._folder} cannot be read: {error.strerror}") from error
        signed = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
        return highest([version for name in signed if (version := version_of(name))])

    def signed(self, version: str) -> bytes:
        """Return what is signed about a version."""
        path = self._folder / f"pilot_agent-{version}-py3-none-any.whl{SUFFIX}"
        try:
            return read_plain(path, MAX_SIGNED + 1)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error

    def copy(self, manifest: Manifest, target: Path, progress: Callable[[int], None]) -> None:
        """Write a version's wheel to a file."""
        path = self._folder / manifest.wheel
        until = time.monotonic() + WHOLE
        try:
            opened = open_plain(path)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
        with opened, target.open("wb") as file:
            # One byte more is enough to see that it is another file.
            left = manifest.size + 1
            while left and (chunk := _read(opened, min(left, CHUNK), path)):
                if time.monotonic() > until:
                    raise ArtifactError(f"{path} took longer than {WHOLE:.0f} s")
                file.write(chunk)
                left -= len(chunk)
                progress(manifest.size + 1 - left)


def _read(file: BinaryIO, size: int, path: Path) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


class Index:
    """A package index (PEP 503 or 691) whose wheels have what is signed beside them."""

    def __init__(self, address: str) -> None:
        self._address = f"{address.rstrip('/')}/{PROJECT}/"
        self._wheels: dict[str, str] | None = None

    def versions(self) -> list[str]:
        """Return the versions that are there, the highest first."""
        return highest(list(self._find()))

    def signed(self, version: str) -> bytes:
        """Return what is signed about a version."""
        return _signed(self._wheel(version))

    def copy(self, manifest: Manifest, target: Path, progress: Callable[[int], None]) -> None:
        """Write a version's wheel to a file."""
        _copy(self._wheel(manifest.version), manifest, target, progress)

    def _wheel(self, version: str) -> str:
        if (found := self._find().get(version)) is None:
            raise ArtifactError(f"{self._address} has no version {version}")
        return found

    def _find(self) -> dict[str, str]:
        if self._wheels is None:
            page = io.BytesIO()
            address, kind = download(self._address, MAX_INDEX, page, accept=_ACCEPTED)
            text = page.getvalue().decode("utf-8", "replace")
            links = _links_of_json(text) if kind.endswith("json") else _links_of_page(text)
            self._wheels = {}
            for link in links:
                try:
                    wheel = urldefrag(urljoin(address, link)).url
                    version = _version_in(wheel)
                except ValueError:
                    continue  # no address at all
                if version and is_address(wheel):
                    self._wheels[version] = wheel
        return self._wheels


class Address:
    """One wheel, at the address that a command named."""

    def __init__(self, address: str) -> None:
        try:
            self._version = _version_in(address)
        except ValueError:
            self._version = ""
        if not is_address(address) or not self._version:
            raise ArtifactError(
                "updates come from Home Assistant here, and it has not named one: install it there"
            )
        self._address = address

    def versions(self) -> list[str]:
        """Return the versions that are there, the highest first."""
        return [self._version]

    def signed(self, version: str) -> bytes:
        """Return what is signed about a version."""
        if version != self._version:
            raise ArtifactError(f"Home Assistant has version {self._version}, and not {version}")
        return _signed(self._address)

    def copy(self, manifest: Manifest, target: Path, progress: Callable[[int], None]) -> None:
        """Write a version's wheel to a file."""
        _copy(self._address, manifest, target, progress)


def _version_in(address: str) -> str:
    """Return the version of the wheel at an address; empty where it is none of the agent's.

    Raises:
        ValueError: It is no address.
    """
    return version_of(unquote(urlsplit(address).path).rpartition("/")[2])


def _signed(wheel: str) -> bytes:
    content = io.BytesIO()
    download(f"{wheel}{SUFFIX}", MAX_SIGNED, content)
    return content.getvalue()


def _copy(wheel: str, manifest: Manifest, target: Path, progress: Callable[[int], None]) -> None:
    with target.open("wb") as file:
        download(wheel, manifest.size, file, progress)


def _links_of_json(text: str) -> list[str]:
    try:
        files = json.loads(text)["files"]
        return [str(file["url"]) for file in files if not file.get("yanked")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ArtifactError("the index answers with JSON that is no list of files") from None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and "data-yanked" not in given and (link := given.get("href")):
            self.found.append(link)


def _links_of_page(text: str) -> list[str]:
    parser = _Links()
    parser.feed(text)
    return parser.found
