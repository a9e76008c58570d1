"""The kernel's files below a root: small, made when read, and gone without notice.

Nothing here raises: a file that is missing, that may not be read or whose driver answers with an
error (`ENODATA`, `ENXIO`, `EIO` of a sleeping device) is `None`.
"""

from __future__ import annotations

import os

_CHUNK = 65536
_LIMIT = 8 * 1024 * 1024


class Files:
    """Files below a root, named by their path without a leading slash.

    Plain `os.open` and `os.read`: a file object would cost three times as much, and there are
    hundreds of reads a minute.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self.root = os.fspath(root).rstrip("/")

    def path(self, path: str) -> str:
        """Return where a file really is."""
        return f"{self.root}/{path}"

    def read(self, path: str, most: int = _LIMIT) -> bytes | None:
        """Read a whole file, or the beginning of a long one."""
        try:
            file = os.open(f"{self.root}/{path}", os.O_RDONLY)
        except (OSError, ValueError):
            return None
        try:
            data = os.read(file, min(_CHUNK, most))
            # /proc hands out a page at a time, so that a short answer is not yet the end.
            while data and len(data) < most:
                more = os.read(file, min(_CHUNK, most - len(data)))
                if not more:
                    break
                data += more
        except OSError:
            return None
        finally:
            os.close(file)
        return data

    def text(self, path: str) -> str | None:
        """Read a text, without the space and NUL around it."""
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "replace").strip(" \t\r\n\0")

    def number(self, path: str) -> int | None:
        """Read a file that holds one whole number."""
        try:
            file = os.open(f"{self.root}/{path}", os.O_RDONLY)
        except (OSError, ValueError):
            return None
        try:
            return integer(os.read(file, 64))
        except OSError:
            return None
        finally:
            os.close(file)

    def names(self, path: str) -> list[str]:
        """List a folder in a stable order; empty when there is none."""
        try:
            return sorted(os.listdir(f"{self.root}/{path}"))  # noqa: PTH208 - names, not paths
        except OSError:
            return []

    def links(self, path: str) -> dict[str, str]:
        """List a folder together with where its links lead: a class of devices."""
        found = {}
        for name in self.names(path):
            try:
                found[name] = os.readlink(f"{self.root}/{path}/{name}")  # noqa: PTH115 - as above
            except OSError:
                found[name] = ""
        return found

    def exists(self, path: str) -> bool:
        """Tell whether there is such a file or folder."""
        return os.path.exists(f"{self.root}/{path}")  # noqa: PTH110 - a Path costs more than the call

    def is_folder(self, path: str) -> bool:
        """Tell whether this is a folder."""
        return os.path.isdir(f"{self.root}/{path}")  # noqa: PTH112 - as above

    def target(self, path: str) -> str | None:
        """Return the path below the root that links lead to; `None` when they lead nowhere."""
        root = os.path.realpath(self.root or "/").rstrip("/")
        try:
            found = os.path.realpath(f"{self.root}/{path}", strict=True)
        except OSError:
            return None
        return found[len(root) + 1 :] if found.startswith(f"{root}/") else None


def integer(data: bytes | str | None) -> int | None:
    """Read a whole number of at most 64 bits; `None` for anything else."""
    if not data:
        return None
    try:
        value = int(data)
    except ValueError:
        return None
    return value if -(1 << 63) <= value < 1 << 64 else None
