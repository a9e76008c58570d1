"""Whether a release runs with the Python and the libraries of this host."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from companion_agent.updates.release import ArtifactError

if TYPE_CHECKING:
    from companion_agent.updates.release import Manifest


def newer(one: str, than: str) -> bool:
    """Tell whether a version is higher than another one."""
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415  (only updates need it)

    try:
        return Version(one) > Version(than)
    except InvalidVersion as error:
        raise ArtifactError(f"not a version: {error}") from None


def highest(versions: list[str]) -> list[str]:
    """Return versions, the highest first."""
    from packaging.version import Version  # noqa: PLC0415

    return sorted(versions, key=Version, reverse=True)


def check(manifest: Manifest) -> None:
    """Make sure that a release runs here. Updates bring no libraries: the base has them.

    Raises:
        ArtifactError: It does not; the text names everything that is missing.
    """
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415

    python = platform.python_version()
    missing = []
    try:
        if not SpecifierSet(manifest.requires_python).contains(python, prereleases=True):
            raise ArtifactError(
                f"version {manifest.version} needs Python {manifest.requires_python}, "
                f"and this host has {python}"
            )
        for text in manifest.requires:
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            found = _installed(wanted.name)
            if not found or not wanted.specifier.contains(found, prereleases=True):
                has = f"{found} is installed" if found else "it is not installed"
                missing.append(f"{wanted.name}{wanted.specifier} ({has})")
    except (InvalidRequirement, InvalidSpecifier) as error:
        raise ArtifactError(
            f"what version {manifest.version} needs is not clear: {error}"
        ) from None
    if missing:
        raise ArtifactError(
            f"version {manifest.version} needs {', '.join(missing)}; "
            "update the installation itself (docs/deployment.md)"
        )


def _installed(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
