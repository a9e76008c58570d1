"""A program with one window, on a Wayland compositor: `python -m support.wayland_window TITLE`.

Its window is of one grey pixel, drawn as large as the compositor wants. Sources: wayland.xml,
xdg-shell.xml, single-pixel-buffer-v1.xml.
"""

from __future__ import annotations

import asyncio
import sys

from companion_agent.platforms.linux.wayland import WaylandClient, read_uint, text, uint

PROGRAM = "pilot-window"


async def show(title: str) -> None:
    """Show the window until the compositor has gone."""
    gone = asyncio.Event()
    client = WaylandClient(lambda _: None, lambda _: gone.set())
    await client.open()
    found = {one.interface: one for one in client.globals.values()}
    compositor = client.bind(found["wl_compositor"], 4, lambda *_: None)
    pixels = client.bind(found["wp_single_pixel_buffer_manager_v1"], 1, lambda *_: None)
    base = client.bind(found["xdg_wm_base"], 1, lambda _, serial: client.request(base, 3, serial))
    surface, grey, part, top = (client.make(lambda *_: None) for _ in range(4))

    def configure(opcode: int, serial: bytes) -> None:
        if opcode == 0:
            client.request(part, 4, uint(read_uint(serial)))
            client.request(surface, 1, uint(grey) + uint(0) + uint(0))
            client.request(surface, 6)

    client.adopt(part, configure)
    client.request(compositor, 0, uint(surface))
    client.request(pixels, 1, uint(grey) + uint(2**31) * 3 + uint(2**32 - 1))
    client.request(base, 2, uint(part) + uint(surface))
    client.request(part, 1, uint(top))
    client.request(top, 2, text(title))
    client.request(top, 3, text(PROGRAM))
    client.request(surface, 6)
    await gone.wait()


if __name__ == "__main__":
    asyncio.run(show(sys.argv[1]))
