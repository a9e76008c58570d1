"""What a system's media players are to the domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from companion_agent.desktop.messages import MAX_OPTIONS, MAX_TEXT
from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from companion_agent.models import Value

READ_BACK = 3.0
"""Seconds in which a player follows a command."""
PAUSES_WITHIN = 1.5
"""Seconds that an announcement waits for players that are to be silent meanwhile."""
NEAR = 2.0
"""By how many seconds a position may be beside what was asked for."""


class Players(ABC):
    """All players of a session, of which the active one is told and controlled.

    Class attributes:
        way: By what they are heard.
        why: Why nothing tells of them; empty where something does.
        commands: What `call()` does, and `source` where there is a player.
    """

    way: ClassVar[str] = ""
    why: str = ""
    commands: ClassVar[tuple[str, ...]]

    @abstractmethod
    async def start(self) -> None:
        """Find the players that are there, and follow those that come and go.

        Raises:
            Unavailable: Nothing tells of players.
        """

    async def stop(self) -> None:  # noqa: B027  (what ends with the helper's connection needs none)
        """Follow them no more."""

    @abstractmethod
    async def call(
        self, name: str, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Control the active player, or choose another.

        Raises:
            CommandError: It cannot, or does not do it.
        """

    @abstractmethod
    async def pause_all(self) -> list[str]:
        """Pause all that play and can; return them for `resume()`."""

    @abstractmethod
    async def resume(self, players: list[str]) -> None:
        """Have those play on that are still paused."""

    @property
    @abstractmethod
    def titles(self) -> tuple[str, ...]:
        """What the players are called, that one can be chosen."""

    @property
    @abstractmethod
    def values(self) -> dict[str, Value]:
        """What the active player is told to play, by the names of the readings."""


class Player(Protocol):
    """A player that is followed.

    Attributes:
        title: What it is called.
        turn: Grows with every time that one begins to play, or is chosen.
    """

    title: str
    turn: int


_T = TypeVar("_T")
_P = TypeVar("_P", bound=Player)


class FollowedPlayers(Players, Generic[_P]):
    """Players of which that which began to play, or was chosen, last is active.

    Args:
        changed: Called when there is another player, or one says something else.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._tell = changed
        self._players: dict[str, _P] = {}
        self._turn = 0

    @property
    def titles(self) -> tuple[str, ...]:
        """What the players are called, that one can be chosen."""
        return tuple(self._titles())

    @property
    def values(self) -> dict[str, Value]:
        """What the active player is told to play, by the names of the readings."""
        player = self._active()
        if player is None:
            return {"state": "no_player"}
        source = next(title for title, one in self._titles().items() if one is player)
        return {**self._read(player), "source": source}

    @abstractmethod
    def _read(self, player: _P) -> Mapping[str, Value]:
        """Return what a player is told to play."""

    def _active(self) -> _P | None:
        return max(self._players.values(), key=lambda player: player.turn, default=None)

    def _titles(self) -> dict[str, _P]:
        return by_title((player.title, player) for player in self._players.values())

    def _choose(self, title: str) -> None:
        player = self._titles().get(title)
        if player is None:
            raise CommandError("failed", f"{title} does not run now")
        self._activate(player)
        self._tell()

    def _activate(self, player: _P) -> None:
        self._turn += 1
        player.turn = self._turn


class NoPlayers(Players):
    """The players of a session in which nothing tells of them.

    Args:
        why: Why nothing does.
    """

    commands: ClassVar[tuple[str, ...]] = ()

    def __init__(self, why: str) -> None:
        self.why = why

    async def start(self) -> None:
        """Find none."""

    async def call(self, name: str, args: Mapping[str, Any]) -> None:
        """Say why there is none."""
        raise CommandError("failed", self.why)

    async def pause_all(self) -> list[str]:
        """Pause none."""
        return []

    async def resume(self, players: list[str]) -> None:
        """Resume none."""

    @property
    def titles(self) -> tuple[str, ...]:
        """There is none to be chosen."""
        return ()

    @property
    def values(self) -> dict[str, Value]:
        """No player."""
        return {"state": "no_player"}


def by_title(players: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    """Return players by what they are called; by a number too where two are alike."""
    titles: dict[str, _T] = {}
    for called, player in list(players)[:MAX_OPTIONS]:
        title, number = called, 1
        while title in titles:
            number += 1
            title = f"{called[: MAX_TEXT - 8]} {number}"
        titles[title] = player
    return titles
