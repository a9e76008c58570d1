"""Questions to a person, or their answers from the command line where nobody sits."""

from __future__ import annotations

import getpass
import sys


class NobodyThereError(Exception):
    """Something has to be asked, and there is nobody to ask; the text names the flag instead."""


class Asker:
    """Asks on the terminal.

    Args:
        interactive: Whether there is somebody to ask.
    """

    def __init__(self, *, interactive: bool) -> None:
        self.interactive = interactive

    def text(self, question: str, default: str = "", *, flag: str) -> str:
        """Ask for a text; the default is taken where nobody sits.

        Raises:
            NobodyThereError: Nobody sits there, and there is no default.
        """
        if not self.interactive:
            if default:
                return default
            raise NobodyThereError(f"{question}: say so with {flag}")
        shown = f" [{default}]" if default else ""
        while True:
            answer = _input(f"{question}{shown}: ").strip() or default
            if answer:
                return answer

    def secret(self, question: str, *, flag: str) -> str:
        """Ask for something that is not shown.

        Raises:
            NobodyThereError: Nobody sits there.
        """
        if not self.interactive:
            raise NobodyThereError(f"{question}: say so with {flag}")
        return getpass.getpass(f"{question}: ")

    def yes(self, question: str, *, default: bool, flag: str = "") -> bool:
        """Ask a question to be answered with yes or no.

        Raises:
            NobodyThereError: Nobody sits there, and a flag has to say it.
        """
        if not self.interactive:
            if flag:
                raise NobodyThereError(f"{question} Say so with {flag}")
            return default
        choices = "Y/n" if default else "y/N"
        while True:
            answer = _input(f"{question} [{choices}] ").strip().lower()
            if not answer:
                return default
            if answer in {"y", "yes", "n", "no"}:
                return answer.startswith("y")


def _input(prompt: str) -> str:
    try:
        return input(prompt)
    except EOFError:
        raise NobodyThereError(
            "the input has ended; every question has a flag, see --help"
        ) from None


def somebody_there() -> bool:
    """Tell whether a person sits at this terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
