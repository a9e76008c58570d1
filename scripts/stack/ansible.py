"""Ansible with this checkout's collection, where its programs look for collections."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from . import toolchain
from .paths import ROOT, cache_dir

if TYPE_CHECKING:
    from pathlib import Path

COLLECTION = ROOT / "deploy" / "ansible"


def program(name: str) -> str:
    """Return the path of one of Ansible's programs."""
    return str(toolchain.environment("ansible") / "bin" / name)


def env() -> dict[str, str]:
    """Return the environment variables that Ansible's programs need, for :func:`clean_env`."""
    folder = toolchain.environment("ansible") / "bin"
    return {
        "ANSIBLE_COLLECTIONS_PATH": str(_collections()),
        "ANSIBLE_HOME": str(cache_dir() / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        # ansible-lint calls the others by their names.
        "PATH": f"{folder}:{toolchain.clean_env().get('PATH', '')}",
    }


def _collections() -> Path:
    """Return a folder in which the checkout's collection is a link; each checkout has its own."""
    digest = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    folder = cache_dir() / "ansible" / f"checkout-{digest}"
    link = folder / "ansible_collections" / "pilot_home" / "fleet"
    link.parent.mkdir(parents=True, exist_ok=True)
    # Steps that run side by side may both find none.
    with contextlib.suppress(FileExistsError):
        link.symlink_to(COLLECTION)
    return folder
