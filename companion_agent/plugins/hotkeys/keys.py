"""What the keys of a hotkey are on Windows: `CTRL+ALT+l`, as on Linux.

Sources: XDG's shortcuts specification, whose names of keys are those of xkbcommon-keysyms.h;
Microsoft's "Virtual-Key Codes".
"""

from __future__ import annotations

from companion_agent.winapi.keyboard_and_mouse import ALT, CONTROL, SHIFT, WINDOWS_KEY

_MODIFIERS = {"CTRL": CONTROL, "ALT": ALT, "SHIFT": SHIFT, "LOGO": WINDOWS_KEY}
_NAMED = {
    "backspace": 0x08, "tab": 0x09, "return": 0x0D, "pause": 0x13, "caps_lock": 0x14,
    "escape": 0x1B, "space": 0x20, "prior": 0x21, "page_up": 0x21, "next": 0x22, "page_down": 0x22,
    "end": 0x23, "home": 0x24, "left": 0x25, "up": 0x26, "right": 0x27, "down": 0x28,
    "print": 0x2C, "insert": 0x2D, "delete": 0x2E, "menu": 0x5D, "num_lock": 0x90,
    "scroll_lock": 0x91, "kp_multiply": 0x6A, "kp_add": 0x6B, "kp_subtract": 0x6D,
    "kp_decimal": 0x6E, "kp_divide": 0x6F,
    "xf86audiomute": 0xAD, "xf86audiolowervolume": 0xAE, "xf86audioraisevolume": 0xAF,
    "xf86audionext": 0xB0, "xf86audioprev": 0xB1, "xf86audiostop": 0xB2, "xf86audioplay": 0xB3,
    "xf86mail": 0xB4, "xf86calculator": 0xB7,
    **{f"f{number}": 0x6F + number for number in range(1, 25)},
    **{f"kp_{number}": 0x60 + number for number in range(10)},
}  # fmt: skip


class WrongKeysError(ValueError):
    """Windows knows no such keys; the text says which."""


def parse_keys(keys: str) -> tuple[int, int]:
    """Return the modifiers and the virtual key of a hotkey.

    Raises:
        WrongKeysError: One of them is not known.
    """
    *modifiers, key = keys.split("+")
    found = 0
    for name in modifiers:
        if name.upper() not in _MODIFIERS:
            known = ", ".join(_MODIFIERS)
            raise WrongKeysError(f"{name!r} in {keys!r} is none of {known}")
        found |= _MODIFIERS[name.upper()]
    if len(key) == 1 and key.isascii() and key.isalnum():
        # Letters and digits are their own codes.
        return found, ord(key.upper())
    if key.casefold() not in _NAMED:
        raise WrongKeysError(f"{key!r} in {keys!r} is no key that Windows can bind")
    return found, _NAMED[key.casefold()]
