"""The root of Pilot's errors, and the error of the protocol."""

from __future__ import annotations


class PilotError(Exception):
    """The root of Pilot's own errors."""


class ProtocolError(PilotError):
    """A message or a name breaks a rule of the protocol, and is refused as a whole.

    Attributes:
        kind: A short stable word for the rule, by which refusals are counted and logged.
        detail: What exactly is wrong. Never the message itself.
        other: The other side's protocol number, where that is what is wrong.
    """

    def __init__(self, kind: str, detail: str, other: int | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.other = other
