"""What plug-ins have in common whose domain belongs to a user's desktop.

The work is done in the session helper, by the `Domain` of the same name. The plug-in declares which
readings, commands and events there may be: a helper picks from these, and defines none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import Offer, Thing
from companion_agent.desktop.sessions import DesktopSessions, View
from companion_agent.models import ChoiceArgument, TextArgument
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.desktop_settings import DesktopConfig
from companion_agent.plugins.naming import segment, title
from companion_agent.protocol.catalogue import CATALOGUE, ReadingType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Self

    from companion_agent.models import AnyArgument, Command, Output, Reading, Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext

_SESSION = "session"
# Another session than the one that is meant, by its id or its user's name.
_ARGUMENTS = {_SESSION: TextArgument(longest=64, default="")}


class DesktopPlugin(Collector, CommandProvider):
    """Reads and commands one domain of the desktop by the session helpers.

    Class attributes:
        declared_readings: The readings that there may be, by their name. One of which there are
            several gets the name of its thing behind it: `brightness` becomes `brightness.edp-1`.
        declared_commands: The commands that there may be; `state` names a reading of the same
            sort. All of them take `session` besides. What a choice without options chooses from,
            the helper says.
    """

    interval: ClassVar[float] = 60
    declared_readings: ClassVar[tuple[Reading, ...]] = ()
    declared_commands: ClassVar[tuple[Command, ...]] = ()

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        sessions: DesktopSessions | None = None,
        config: DesktopConfig | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self.sessions = sessions or DesktopSessions()
        self.config = config or DesktopConfig()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the helpers, and what the owner says of desktops."""
        return cls(
            context.platform,
            context.selection,
            context.get(DesktopSessions),
            context.get(DesktopConfig),
        )

    @property
    def settings(self) -> Mapping[str, Any] | None:
        """What its half in the session helper has to know of the configuration.

        `None` for a domain that is not wanted: no helper looks at anything of it.
        """
        return {}

    def collect(self) -> Mapping[str, Value]:
        """Return what the helper of the session that is meant has read.

        Raises:
            Unavailable: No helper has offered it yet.
        """
        view = self.view()
        found = self._readings(view.offer)
        self.describe(tuple(found), found.values)
        return {
            reading.key: _checked(self.name, reading, view.values.get(thing))
            for thing, reading in found.items()
        }

    def commands(self) -> Sequence[Command]:
        """Return what the helper of the session that is meant can do.

        Raises:
            Unavailable: No helper has offered it yet.
        """
        return [command for _, command in self._commands(self.view())]

    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Have the helper do it."""
        thing = next(thing for thing, command in self._commands(self.view()) if command.key == key)
        rest = {name: value for name, value in args.items() if name != _SESSION}
        self.call(thing, rest, str(args.get(_SESSION, "")))
        return None

    def view(self) -> View:
        """Return what there is.

        Raises:
            Unavailable: No helper has offered it yet.
        """
        return self.sessions.view(self.name)

    def call(self, thing: Thing, args: Mapping[str, Any], session: str) -> None:
        """Have a command carried out.

        Raises:
            CommandError: It did not work.
        """
        self.sessions.call(self.name, thing, args, session)

    def _selects(self, thing: Thing) -> bool:
        return not thing.of or self.wants(thing.of)

    def _readings(self, offer: Offer) -> dict[Thing, Reading]:
        declared = {reading.key: reading for reading in self.declared_readings}
        return {
            thing: declared[thing.name]._replace(
                key=_key(thing),
                kind=declared[thing.name].kind or f"{self.name}.{thing.name}",
                of=title(thing.of) if thing.of else "",
            )
            for thing in offer.readings
            if thing.name in declared and self._selects(thing)
        }

    def _commands(self, view: View) -> list[tuple[Thing, Command]]:
        declared = {
            command.key.removeprefix(f"{self.name}."): command for command in self.declared_commands
        }
        found = []
        for thing in view.offer.commands:
            if thing.name not in declared or not self._selects(thing):
                continue
            command = declared[thing.name]
            state = command.state.removeprefix(f"{self.name}.")
            found.append(
                (
                    thing,
                    replace(
                        command,
                        key=f"{self.name}.{_key(thing)}",
                        kind=command.kind or command.key,
                        state=f"{self.name}.{_key(Thing(state, thing.of))}" if state else "",
                        args={
                            **_choosable(command, view.offer.options.get(thing, ())),
                            **_ARGUMENTS,
                        },
                    ),
                )
            )
        return found


def told_to_helpers(
    plugins: Iterable[DesktopPlugin], read: Collection[str]
) -> dict[str, Mapping[str, Any] | None]:
    """Return what helpers have to know of the configuration, by domain; `None` for not wanted.

    Args:
        plugins: The plug-ins.
        read: The names of those whose readings are wanted. What is only read, and is not wanted,
            is not looked at either.
    """
    return {
        plugin.name: plugin.settings if plugin.name in read or plugin.declared_commands else None
        for plugin in plugins
    }


def _choosable(command: Command, options: tuple[str, ...]) -> dict[str, AnyArgument]:
    return {
        name: argument._replace(options=options)
        if isinstance(argument, ChoiceArgument) and not argument.options
        else argument
        for name, argument in command.args.items()
    }


def _key(thing: Thing) -> str:
    return f"{thing.name}.{segment(thing.of, fold_case=True)}" if thing.of else thing.name


def _checked(plugin: str, reading: Reading, value: Value) -> Value:
    """Return a value if it is of the reading's type: one that is not would cost all others."""
    kind = CATALOGUE.get(reading.kind or f"{plugin}.{reading.key}")
    wanted = kind.type if kind else ReadingType(reading.type)
    options = kind.options if kind else reading.options
    if wanted is ReadingType.BOOLEAN:
        fits = isinstance(value, bool)
    elif wanted is ReadingType.NUMBER:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif wanted is ReadingType.ENUM:
        fits = value in options
    else:
        fits = isinstance(value, str)
    return value if fits else None
