"""The agent's release that came with the integration, and how hosts get it.

`deploy/release.py` puts it into the folder `agent`: a wheel, and what its maker signed about it.
Hosts check the signature; Home Assistant hands out both without authentication, since there is
nothing secret in them.
"""

from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from homeassistant.helpers.http import HomeAssistantView
from homeassistant.helpers.network import get_url
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN, LOGGER
from .protocol.encoding import load_object
from .protocol.errors import ProtocolError
from .protocol.validation import MAX_NOTES

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

FOLDER: Final = Path(__file__).parent / "agent"
SUFFIX: Final = ".json"
MAX_SIGNED: Final = 256 * 1024
_WHEEL: Final = re.compile(r"pilot_agent-([0-9][0-9a-z.]*)-py3-none-any\.whl")


@dataclass(frozen=True, slots=True)
class Shipped:
    """A release that came with the integration.

    Attributes:
        version: Its version.
        notes: What is new, in Markdown.
        wheel: Its wheel; what is signed about it lies beside it.
    """

    version: str
    notes: str
    wheel: Path

    def address(self, hass: HomeAssistant) -> str:
        """Return where hosts get it.

        Raises:
            NoURLAvailableError: Home Assistant does not know its own address.
        """
        return (
            f"{get_url(hass, prefer_external=False)}{ReleaseView.url.format(name=self.wheel.name)}"
        )


SHIPPED: Final[HassKey[Shipped | None]] = HassKey(f"{DOMAIN}.shipped")


class ReleaseView(HomeAssistantView):
    """Hands the release on."""

    url = "/api/pilot/agent/{name}"
    name = "api:pilot:agent"
    requires_auth = False

    def __init__(self, shipped: Shipped) -> None:
        """Know the files that there are; nothing else is ever opened."""
        signed = shipped.wheel.with_name(shipped.wheel.name + SUFFIX)
        self._files = {path.name: path for path in (shipped.wheel, signed)}

    async def get(self, request: web.Request, name: str) -> web.StreamResponse:
        """Return one of the two files."""
        if (path := self._files.get(name)) is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.FileResponse(path)


async def async_setup_shipped(hass: HomeAssistant) -> None:
    """Look for the release, and hand it on if there is one."""
    shipped = hass.data[SHIPPED] = await hass.async_add_executor_job(find, FOLDER)
    if shipped is not None:
        hass.http.register_view(ReleaseView(shipped))


def find(folder: Path) -> Shipped | None:
    """Find the release in a folder; None where there is none that hosts would take."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        return None
    try:
        if len(wheels) > 1:
            raise ProtocolError("release", "there are several")  # noqa: TRY301
        return _read(wheels[0])
    except (ProtocolError, OSError) as err:
        LOGGER.error("The agent's release in %s cannot be offered to hosts: %s", folder, err)
        return None


def _read(wheel: Path) -> Shipped:
    signed = wheel.with_name(wheel.name + SUFFIX).read_bytes()
    body = load_object(signed, MAX_SIGNED).get("body")
    if type(body) is not str:
        raise ProtocolError("release", "nothing is signed about it")
    data: dict[str, Any] = load_object(body.encode(), MAX_SIGNED)
    named, notes = _WHEEL.fullmatch(wheel.name), data.get("notes", "")
    if named is None or data.get("version") != named[1] or type(notes) is not str:
        raise ProtocolError("release", "what is signed is about another version")
    if sha256(wheel.read_bytes()).hexdigest() != data.get("sha256"):
        raise ProtocolError("release", "the wheel is not the one that was signed")
    return Shipped(named[1], notes[:MAX_NOTES], wheel)
