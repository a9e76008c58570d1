"""The topics of a host, below a prefix that Home Assistant and its hosts agree on."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from .errors import ProtocolError
from .validation import HOST_ID

DEFAULT_PREFIX: Final = "pilot/v2"


class Separator(StrEnum):
    """What joins the segments of a key in the last level of a topic.

    Some brokers take dots for slashes (RabbitMQ) or end the connection on them (NATS before 2.10).
    """

    DOT = "."
    """As keys are written; what halves that know no other use."""
    COLON = ":"
    """No segment of a key has it, and no broker gives it a meaning in a topic."""


class Topics(NamedTuple):
    """The topics of one host.

    A `+` in place of a host, a key or a step makes the filter of a subscription.

    Attributes:
        prefix: The first part of all topics.
        host: The host's id.
    """

    prefix: str
    host: str

    @property
    def base(self) -> str:
        """The part that all topics of the host have in common; SPAKE2's name of the host."""
        return f"{self.prefix}/{self.host}"

    @property
    def search(self) -> str:
        """Asks every host below the prefix to say what it is."""
        return f"{self.prefix}/search"

    @property
    def announce(self) -> str:
        """Retained: what the host is and can do."""
        return f"{self.prefix}/{self.host}/announce"

    @property
    def availability(self) -> str:
        """Retained: whether the host is online."""
        return f"{self.prefix}/{self.host}/availability"

    @property
    def state(self) -> str:
        """Retained: the last values of all collectors."""
        return f"{self.prefix}/{self.host}/state"

    @property
    def backlog(self) -> str:
        """Values of the time in which no broker or controller took them."""
        return f"{self.prefix}/{self.host}/backlog"

    @property
    def acknowledge(self) -> str:
        """Acknowledgements of the backlog."""
        return f"{self.prefix}/{self.host}/acknowledge"

    @property
    def probe(self) -> str:
        """Where `pilot-agent doctor` tries what the broker takes; never anything else."""
        return f"{self.prefix}/{self.host}/probe"

    @property
    def heard_by_host(self) -> tuple[str, ...]:
        """What a host subscribes to, beside Home Assistant's birth message."""
        return (
            self.announce,
            self.availability,
            self.search,
            self.acknowledge,
            self.command("+"),
            self.pairing("+", "request"),
            self.pairing("+", "confirm"),
        )

    def signed_state(self, collector: str) -> str:
        """Return the topic that a collector's part of the state is signed for."""
        return f"{self.prefix}/{self.host}/state/{collector}"

    def command(self, key: str, separator: Separator = Separator.DOT) -> str:
        """Return the topic of requests for a command."""
        return f"{self.prefix}/{self.host}/command/{join_key(key, separator)}"

    def unsigned(self, key: str) -> str:
        """Return the topic of a command that nothing proves, for MQTT discovery."""
        return f"{self.prefix}/{self.host}/unsigned/{key}"

    def result(self, key: str, separator: Separator = Separator.DOT) -> str:
        """Return the topic of a command's results."""
        return f"{self.prefix}/{self.host}/result/{join_key(key, separator)}"

    def event(self, key: str) -> str:
        """Return the topic of an event."""
        return f"{self.prefix}/{self.host}/event/{join_key(key, Separator.COLON)}"

    def pairing(self, controller: str, step: str) -> str:
        """Return the topic of a step of pairing: `request`, `answer`, `confirm`, `result`."""
        return f"{self.prefix}/{self.host}/pair/{controller}/{step}"


def join_key(key: str, separator: Separator) -> str:
    """Return a key as the last level of a topic."""
    return key.replace(Separator.DOT, separator)


def split_key_topic(topic: str) -> tuple[str, Separator]:
    """Return the key that is the last level of a topic, and what joins its segments there.

    A level that mixes separators is returned as it is, which is no key.
    """
    level = topic.rpartition("/")[2]
    if Separator.COLON not in level or Separator.DOT in level:
        return level, Separator.DOT
    return level.replace(Separator.COLON, Separator.DOT), Separator.COLON


def split_announce_topic(topic: str) -> tuple[str, str]:
    """Return the prefix and the host's id that an announce topic is made of.

    Raises:
        ProtocolError: It is another topic.
    """
    parts = topic.rsplit("/", 2)
    if len(parts) != 3 or not parts[0] or parts[2] != "announce":
        raise ProtocolError("topic", "not an announce topic")
    if not HOST_ID.fullmatch(parts[1]):
        raise ProtocolError("topic", "not a host's id in the topic")
    return parts[0], parts[1]
