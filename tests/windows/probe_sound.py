"""What a session helper does with the sound of the PC that runs this, as JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.plugins.media.windows import WindowsMediaDomain
from companion_agent.plugins.notifications.windows import WindowsNotificationsDomain
from companion_agent.plugins.sound.windows import WindowsSoundDomain
from support.agent_desktop import FakeContext

if TYPE_CHECKING:
    from companion_agent.desktop.domain import Domain


async def begin(kind: type[Domain], context: FakeContext) -> Domain:
    domain = kind(context)
    context.offer(await domain.start())
    return domain


async def refusal(domain: Domain, command: str, **args: Any) -> str:
    """Return what a command fails with; empty when it is done."""
    try:
        await domain.call(Thing(command), args)
    except CommandError as error:
        return error.detail
    return ""


async def look(media: Path) -> dict[str, Any]:
    context, player = FakeContext(), FakeContext()
    sound = await begin(WindowsSoundDomain, context)
    found: dict[str, Any] = {
        "devices": {thing.name: one for thing, one in context.values.items()},
        "why": dict(context.offered.why),
        "mute": await refusal(sound, "output_muted", value=1),
        "muted": context.values[Thing("output_muted")],
        "volume": await refusal(sound, "output_volume", value=37),
    }
    await sound.stop()
    playing = await begin(WindowsMediaDomain, player)
    data = base64.b64encode(media.read_bytes()).decode()  # noqa: ASYNC240  (nothing else runs)
    await playing.call(Thing("load"), {"id": "a", "offset": 0, "data": data})
    found["play"] = await refusal(playing, "play_media", id="a", title="Bell", announce=1)
    found["title"] = player.values.get(Thing("title"))
    print("plays", flush=True)
    await player.until(lambda: player.values[Thing("state")] == "no_player")
    await playing.stop()
    found["players"] = player.offered.why["players"]
    try:
        await WindowsNotificationsDomain(FakeContext()).start()
    except Exception as error:  # noqa: BLE001  (the test says which)
        found["notifications"] = str(error)
    return found


print(json.dumps(asyncio.run(look(Path(sys.argv[1])))), flush=True)
