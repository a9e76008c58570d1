"""What the configuration says about updates."""

from __future__ import annotations

from base64 import b64decode, b64encode
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from companion_agent.fields import setting
from companion_agent.values import AnyPath, Leaf, ListOf, Seconds, Switch, check_host, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voluptuous import Invalid

    from companion_agent.values import Raw

HOME_ASSISTANT = "homeassistant"
TRIAL = 120.0
"""Seconds that a new version has to come online, unless configured."""


KEY_BYTES = 32
"""An Ed25519 public key (RFC 8032, section 5.1.5)."""


def parse_key(text: str) -> bytes:
    """Read a public key.

    Raises:
        ValueError: It is not one.
    """
    try:
        key = b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes")
    return key


def is_address(source: str) -> bool:
    """Tell an address from the path of a folder."""
    return source.startswith(("https://", "http://"))


class UpdateSource(AnyPath[str]):
    """`homeassistant`, the path of a folder, or the address of an index."""

    expected = f"{HOME_ASSISTANT}, the path of a folder or the https:// address of an index"

    def _read(self, text: str) -> str:
        if text == HOME_ASSISTANT:
            return text
        if is_address(text):
            url = _split(text)
            if not url.hostname:
                raise ValueError("it names no host")
            if url.username or url.password:
                raise ValueError("a login cannot be in it")
            check_host(url.hostname)
            return text
        if "://" in text:
            raise ValueError
        return str(self._place(text))


class PublicKey(Leaf[bytes]):
    """A public key."""

    expected = "a public key (Ed25519): base64 of 32 bytes, as deploy/release.py prints it"

    def _read(self, text: str) -> bytes:
        return parse_key(text)

    def _dump(self, value: bytes) -> object:
        return b64encode(value).decode()


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """Where new versions come from, and whose signature counts.

    Attributes:
        source: `homeassistant`, the path of a folder, or the address of an index.
        keys: Public keys (Ed25519, raw) of which one must have signed; those that the agent
            was released with count as well.
        automatic: Whether the agent installs what it finds by itself.
        trial: Seconds that a new version has to come online.
    """

    source: str = setting(
        UpdateSource(), "Where new versions of the agent come from.", HOME_ASSISTANT
    )
    keys: tuple[bytes, ...] = setting(
        ListOf(PublicKey(), "public keys"),
        "Whose signature they need: public keys (Ed25519) in base64.",
        (),
    )
    automatic: bool = setting(Switch(), "Install what is there without being asked.", False)
    trial: float = setting(Seconds(5, 3600), "Time in which a new version has to be online.", TRIAL)

    @property
    def kind(self) -> str:
        """What the source is: `homeassistant`, `index` or `folder`."""
        if self.source == HOME_ASSISTANT:
            return HOME_ASSISTANT
        return "index" if is_address(self.source) else "folder"


def check_update(given: Mapping[str, Raw]) -> Iterator[Invalid]:
    """Find what does not go together among the keys as they were written."""
    if "automatic" in given and given.get("source", HOME_ASSISTANT) == HOME_ASSISTANT:
        wrong = "only with a folder or an index: what Home Assistant has, it installs"
        yield invalid(wrong, ["automatic"])


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        # Python's words would show all of it, a login too.
        raise ValueError("it is no address") from None
    return url
