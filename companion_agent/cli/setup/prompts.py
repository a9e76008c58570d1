"""Questions on the terminal; without one, their answers from the command line."""

from __future__ import annotations

import getpass
import sys


class NotInteractiveError(Exception):
    """A question cannot be asked without a terminal; the text names the flag that answers it."""


class Asker:
    """Asks on the terminal.

    Args:
        interactive: Whether there is a terminal to ask on.
    """

    def __init__(self, *, interactive: bool) -> None:
        self.interactive = interactive

    def text(self, question: str, default: str = "", *, flag: str) -> str:
        """Ask for a text; the default is taken where there is no terminal.

        Raises:
            NotInteractiveError: There is no terminal, and no default.
        """
        if not self.interactive:
            if default:
                return default
            raise NotInteractiveError(f"{question}: say so with {flag}")
        shown = f" [{default}]" if default else ""
        while True:
            answer = _input(f"{question}{shown}: ").strip() or default
            if answer:
                return answer

    def secret(self, question: str, *, flag: str) -> str:
        """Ask for something that is not shown.

        Raises:
            NotInteractiveError: There is no terminal.
        """
        if not self.interactive:
            raise NotInteractiveError(f"{question}: say so with {flag}")
        return getpass.getpass(f"{question}: ")

    def yes(self, question: str, *, default: bool, flag: str = "") -> bool:
        """Ask a question to be answered with yes or no.

        Raises:
            NotInteractiveError: There is no terminal, and the answer needs a flag.
        """
        if not self.interactive:
            if flag:
                raise NotInteractiveError(f"{question} Say so with {flag}")
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
        raise NotInteractiveError(
            "the input has ended; every question has a flag, see --help"
        ) from None


def is_interactive() -> bool:
    """Tell whether standard input and output are a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
