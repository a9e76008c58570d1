"""Values that must not be printed, and texts that may hold one."""

from __future__ import annotations

import hmac
import re
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)

HIDDEN = "(hidden)"

_LOGIN = "***@"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Secret(Generic[T]):
    """A password or a key, which `str`, `repr` and `format` never show.

    It equals another one with the same content, and that content itself.

    Args:
        content: The secret.
    """

    __slots__ = ("_content",)

    def __init__(self, content: T) -> None:
        self._content: T = content

    def reveal(self) -> T:
        """Return the secret, for what logs in or signs with it."""
        return self._content

    def __bool__(self) -> bool:
        return bool(self._content)

    def __eq__(self, other: object) -> bool:
        theirs = other.reveal() if isinstance(other, Secret) else other
        if isinstance(theirs, str):
            theirs = theirs.encode("utf-8", "surrogatepass")
        return isinstance(theirs, bytes) and hmac.compare_digest(self._bytes(), theirs)

    def __hash__(self) -> int:
        return hash(self._content)

    def __repr__(self) -> str:
        return HIDDEN if self else "(empty)"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def _bytes(self) -> bytes:
        content: str | bytes = self._content
        if isinstance(content, bytes):
            return content
        return content.encode("utf-8", "surrogatepass")


def without_login(text: str) -> str:
    """Replace a login with a password in an address by `***`, whether or not the rest is right.

    Everything up to the last `@` is taken for the login: a password that is not percent-encoded
    may hold `@`, `/` and `#`.
    """
    scheme, rest = _split(text)
    login, at, host = rest.rpartition("@")
    return f"{scheme}{_LOGIN}{host}" if at and ":" in login else text


def without_query(text: str) -> str:
    """Replace what follows the `?` of an address by `***`: it may be a token that logs in."""
    scheme, rest = _split(text)
    path, mark, query = rest.partition("?")
    return f"{scheme}{path}?***" if scheme and mark and query else text


def without_port(text: str) -> str:
    """Replace what stands in the place of an address's port and is no number by `***`.

    It is the password where the host was forgotten: `mqtt://user:password`.
    """
    scheme, rest = _split(text)
    host, colon, port = rest.partition(":")
    known = rest.startswith(("[", _LOGIN)) or port.strip().isdigit()
    secret = colon and not known
    return f"{scheme}{host}:***" if secret else text


def _split(text: str) -> tuple[str, str]:
    scheme = _SCHEME.match(text)
    return (text[: scheme.end()], text[scheme.end() :]) if scheme else ("", text)
