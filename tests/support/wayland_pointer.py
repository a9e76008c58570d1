"""A mouse that moves once, on a Wayland compositor of wlroots: `python -m support.wayland_pointer`.

Source: wlr-virtual-pointer-unstable-v1.xml.
"""

from __future__ import annotations

import asyncio

from companion_agent.platforms.linux.wayland import WaylandClient, uint


async def move() -> None:
    client = WaylandClient(lambda _: None, lambda _: None)
    await client.open()
    found = {one.interface: one for one in client.globals.values()}
    seat = client.bind(found["wl_seat"], 1, lambda *_: None)
    manager = client.bind(found["zwlr_virtual_pointer_manager_v1"], 1, lambda *_: None)
    pointer = client.make(lambda *_: None)
    client.request(manager, 0, uint(seat) + uint(pointer))
    # By 5 pixels each way, of 1/256, and then all of it at once.
    client.request(pointer, 0, uint(1) + uint(5 * 256) * 2)
    client.request(pointer, 4)
    await client.roundtrip()


if __name__ == "__main__":
    asyncio.run(move())
