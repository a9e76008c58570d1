"""What the schema says about updates."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import voluptuous as vol

from companion_agent.config.values import Leaf
from companion_agent.updates.release import parse_key
from companion_agent.updates.settings import HOME_ASSISTANT, is_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


class UpdateSource(Leaf[str]):
    """`homeassistant`, the path of a folder, or the address of an index."""

    expected = f"{HOME_ASSISTANT}, the path of a folder or the https:// address of an index"

    def __init__(self, base: Path) -> None:
        self.base = base

    def _read(self, text: str) -> str:
        if text == HOME_ASSISTANT:
            return text
        if is_address(text):
            url = urlsplit(text)
            if not url.hostname:
                raise ValueError("it names no host")
            if url.username or url.password:
                raise ValueError("a login cannot be in it")
            return text
        if "://" in text or "\0" in text or not text:
            raise ValueError
        return str(self.base / text)


class PublicKey(Leaf[bytes]):
    """A public key."""

    expected = "a public key (Ed25519): base64 of 32 bytes, as deploy/release.py prints it"

    def _read(self, text: str) -> bytes:
        return parse_key(text)


def update_rules(given: Collection[str]) -> Iterator[vol.Invalid]:
    """Find what does not go together."""
    source = given.get("source", HOME_ASSISTANT) if isinstance(given, dict) else HOME_ASSISTANT
    if "automatic" in given and source == HOME_ASSISTANT:
        wrong = "only with a folder or an index: what Home Assistant has, it installs"
        yield vol.Invalid(wrong, ["automatic"])
