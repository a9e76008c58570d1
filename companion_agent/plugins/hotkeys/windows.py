"""Hotkeys of a Windows session, which the first program has that asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import Unavailable
from companion_agent.plugins.hotkeys.keys import WrongKeysError, parse_keys
from companion_agent.plugins.naming import listing
from companion_agent.winapi import keyboard_and_mouse
from companion_agent.winapi.message_window import WM_HOTKEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEYS = Thing("keys")

_NO_KEYS = "Windows asks no user for keys: name some at desktop.hotkeys.{}.keys"


class WindowsHotkeysDomain(Domain):
    """Has Windows bind hotkeys, and tells when one is pressed."""

    name: ClassVar[str] = "hotkeys"
    _bound: Mapping[int, str] | None = None
    _why: Mapping[str, str] = {}

    async def start(self) -> Offer:
        """Bind the hotkeys of the host's configuration.

        Raises:
            Unavailable: There are none, or none can be bound.
        """
        wanted: Mapping[str, Mapping[str, str]] = self.context.settings.get("hotkeys", {})
        if not wanted:
            raise Unavailable("no hotkeys are configured")
        window = self.context.window()
        if self._bound is None:
            self._bound, self._why = await window.do(lambda own: _bind(own, wanted))
            window.listen(WM_HOTKEY, self._pressed)
        if not self._bound:
            return Offer(why={"": "; ".join(f"{name}: {why}" for name, why in self._why.items())})
        keys = (f"{name}: {wanted[name]['keys']}" for name in self._bound.values())
        self.context.read({KEYS: listing(keys)})
        return Offer((KEYS,), way="RegisterHotKey", why=self._why)

    async def stop(self) -> None:
        """Give the keys back."""
        bound, self._bound = self._bound, None
        if bound is not None:
            window = self.context.window()
            window.unlisten(WM_HOTKEY, self._pressed)
            await window.do(lambda own: _give_back(own, bound))

    def _pressed(self, number: int, _: int) -> None:
        if self._bound and number in self._bound:
            self.context.happened("pressed", hotkey=self._bound[number])


def _bind(
    window: int, wanted: Mapping[str, Mapping[str, str]]
) -> tuple[dict[int, str], dict[str, str]]:
    """Bind what can be; return the names by number, and why the others are not."""
    bound, why = {}, {}
    for number, (name, hotkey) in enumerate(wanted.items(), 1):
        if not hotkey["keys"]:
            why[name] = _NO_KEYS.format(name)
            continue
        try:
            modifiers, key = parse_keys(hotkey["keys"])
            keyboard_and_mouse.bind(window, number, modifiers | keyboard_and_mouse.NO_REPEAT, key)
        except WrongKeysError as error:
            why[name] = str(error)
        except OSError as error:
            taken = getattr(error, "winerror", 0) == keyboard_and_mouse.HOTKEY_TAKEN
            why[name] = (
                "another program has these keys" if taken else f"Windows refuses it: {error}"
            )
        else:
            bound[number] = name
    return bound, why


def _give_back(window: int, numbers: Iterable[int]) -> None:
    for number in numbers:
        keyboard_and_mouse.give_back(window, number)
