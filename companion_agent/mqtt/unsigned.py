"""Commands that nothing proves, of MQTT discovery and of Pilot's first version.

Every client that may publish to the broker can send them, so only the local configuration lets
them be obeyed. What they may do is checked like that of any command, and recorded.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

from companion_agent.protocol.topics import split_key_topic

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESS = "PRESS"
"""What a button of MQTT discovery says."""

WARNING = (
    "Commands are obeyed that are not signed (%s): every client that may publish to the broker "
    "can command this computer. Pair it instead, with the Pilot integration"
)


class Obey(Protocol):
    """Checks a command and carries it out."""

    def __call__(self, key: str, args: Mapping[str, Any], source: str, /) -> None:
        """Take a command, its arguments, and by which way it came."""


class UnsignedCommands:
    """Takes the commands of the entities that MQTT discovery has made.

    Args:
        obey: Checks commands and carries them out.
    """

    def __init__(self, obey: Obey) -> None:
        self._obey = obey

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on the topic of such a command."""
        text = payload.decode("utf-8", "replace")
        if not retained:
            key, _ = split_key_topic(topic)
            self._obey(key, {} if text == PRESS else {"value": _number_or_text(text)}, "unsigned")


_V1_POWER = {
    "shutdown": "power.shutdown",
    "poweroff": "power.shutdown",
    "off": "power.shutdown",
    "reboot": "power.reboot",
    "restart": "power.reboot",
    "sleep": "power.suspend",
    "suspend": "power.suspend",
    "hibernate": "power.hibernate",
    "lock": "session.lock",
}
_V1_SCREEN = {"on": 1, "off": 0}
# By the name in v1's topic: the command whose argument `value` is the number that was said, and
# how many of the command's units one of v1's is (GHz and MHz).
_V1_NUMBERS: Mapping[str, tuple[str, int]] = {
    "cpu_frequency": ("processor.maximum_frequency", 1000)
}


def v1_command(what: str, said: str) -> tuple[str, dict[str, Any]] | None:
    """Return the command, and its arguments, that v1 meant; `None` where there is none.

    Args:
        what: The name in the topic `<prefix>/<device>/cmd/<what>/set`.
        said: What was published there.
    """
    word = said.strip().lower()
    if what == "power" and word in _V1_POWER:
        return _V1_POWER[word], {}
    if what == "screen" and word in _V1_SCREEN:
        return "screen.on", {"value": _V1_SCREEN[word]}
    if what == "lock":
        return "session.lock", {}
    number = _number_or_text(word)
    if what in _V1_NUMBERS and isinstance(number, float) and isfinite(number):
        command, scale = _V1_NUMBERS[what]
        return command, {"value": round(number * scale)}
    return None


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
