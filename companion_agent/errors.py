"""The errors that one part of the agent raises and another handles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.protocol.errors import PilotError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.protocol.messages import FieldError

__all__ = ["CommandError", "PilotError", "Unavailable"]


class Unavailable(PilotError):  # noqa: N818 - a finding, not a mistake
    """This host does not offer what a collector reads.

    Attributes:
        reason: What is missing, in words that `pilot-agent doctor` prints.
        hint: What the user can do about it; empty where nothing can be done.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Unanswered(Unavailable):
    """The system did not answer, so that it is not known whether this host offers it."""


class PluginError(PilotError):
    """A plug-in of another package cannot be used; the text says why."""


class CommandError(PilotError):
    """A command was not carried out.

    Attributes:
        reason: Code for the result, one of those in `docs/protocol.md`.
        detail: Words for the user: what happened and what to do.
        fields: What is wrong with single fields of a form, by their keys.
    """

    def __init__(
        self, reason: str, detail: str, fields: Mapping[str, FieldError] | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.fields = fields or {}
