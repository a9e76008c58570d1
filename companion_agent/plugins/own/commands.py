"""Commands of the owner: what the local file names, with the arguments that it allows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Command, Output, Reading
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.own.program import Program, ProgramError
from companion_agent.plugins.own.running import make_runner
from companion_agent.plugins.own.settings import OwnCommand, OwnCommands, placeholder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext

STATE_LIMIT = 5.0
"""Seconds that reading a present value may take: less than a collector may."""

_AT_ONCE = 8
_ON = frozenset({"1", "active", "enabled", "on", "running", "true", "yes"})
_OFF = frozenset(
    {"0", "dead", "disabled", "failed", "false", "inactive", "no", "off", "stopped"},
)


class OwnCommandsPlugin(Collector, CommandProvider):
    """Starts the programs of the owner, and reads what switches, selects and numbers are set to.

    Args:
        platform: The operating system.
        selection: Not used: the configuration names each command.
        config: The commands.
    """

    name: ClassVar[str] = "own_commands"
    interval: ClassVar[float] = 60

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: OwnCommands | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._commands = dict(config.commands) if config else {}
        self._set = {name: one for name, one in self._commands.items() if one.sets}
        self.described = tuple(_describe(name, one) for name, one in self._set.items())
        self._programs = make_runner()
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._troubles: dict[str, str] = {}

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the commands that the configuration names."""
        return cls(context.platform, context.selection, context.get(OwnCommands))

    def commands(self) -> Sequence[Command]:
        """Return what the configuration names; what cannot be started says what is missing.

        Raises:
            Unavailable: This system can start none so that it ends.
        """
        if self._commands and self._programs.cannot:
            raise Unavailable(self._programs.cannot)
        return [
            Command(
                f"{self.name}.{name}",
                {key: one.argument for key, one in own.arguments.items()},
                missing=self._programs.missing(_program(own, own.command)),
                state=f"{self.name}.{name}" if own.sets else "",
                name=_called(name, own),
                show=own.shown,
                confirm=own.confirm,
                harmless=own.harmless,
                time_limit=own.time_limit,
            )
            for name, own in self._commands.items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> Output:
        """Start a program, and return what it prints.

        Raises:
            CommandError: It cannot be started, takes too long, fails, or runs already.
        """
        name = key.partition(".")[2]
        own = self._commands[name]
        with self._lock:
            if name in self._running:
                raise CommandError("failed", "it still runs, from an earlier call")
            self._running.add(name)
        try:
            outcome = self._programs.run(_program(own, fill(own.command, args)), own.time_limit)
        except ProgramError as error:
            raise CommandError("failed", str(error)) from error
        finally:
            with self._lock:
                self._running.discard(name)
        if outcome.failure:
            raise CommandError("failed", outcome.failure)
        return Output(outcome.output, outcome.truncated)

    def probe(self) -> None:
        """Tell whether there is anything.

        Raises:
            Unavailable: No command is named.
        """
        if not self._commands:
            raise Unavailable(
                "no command is named in the configuration",
                "name programs of your own under 'own_commands'",
            )

    def collect(self) -> Mapping[str, Value]:
        """Read the present values, side by side: one that hangs keeps no other waiting."""
        self.probe()
        if not self._set:
            return {}
        with ThreadPoolExecutor(min(_AT_ONCE, len(self._set))) as pool:
            read = dict(zip(self._set, pool.map(self._state, self._set), strict=True))
        self._troubles = {name: str(one) for name, one in read.items() if _failed(one)}
        return {name: None if isinstance(one, ProgramError) else one for name, one in read.items()}

    def troubles(self) -> Mapping[str, str]:
        """Say which present value cannot be read, and why."""
        return self._troubles

    def left_out(self) -> Mapping[str, str]:
        """Say which command cannot be started, and why."""
        return {
            command.key.partition(".")[2]: command.missing.fix
            for command in self.commands()
            if command.missing
        }

    def close(self) -> None:
        """End the programs that still run."""
        self._programs.close()

    def _state(self, name: str) -> Value | ProgramError:
        own = self._set[name]
        assert own.state
        limit = min(own.time_limit, STATE_LIMIT)
        try:
            outcome = self._programs.run(_program(own, own.state), limit)
            return _present(own, outcome.output.strip(), outcome.failure)
        except ProgramError as error:
            return error


def fill(argv: Sequence[str], args: Mapping[str, Any]) -> tuple[str, ...]:
    """Put arguments where they stand: each becomes one element, and nothing else changes."""
    return tuple(_written(args[name]) if (name := placeholder(word)) else word for word in argv)


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _failed(value: Value | ProgramError) -> bool:
    return isinstance(value, ProgramError)


def _program(own: OwnCommand, argv: tuple[str, ...]) -> Program:
    around = own.surroundings
    return Program(argv, around.user, around.folder, around.environment)


def _called(name: str, own: OwnCommand) -> str:
    return own.name or name.replace("_", " ").replace("-", " ").capitalize()


def _describe(name: str, own: OwnCommand) -> Reading:
    called = _called(name, own)
    if own.show == "switch":
        return Reading(name, name=called, type="boolean")
    value = own.arguments["value"]
    if own.show == "select":
        return Reading(name, name=called, type="enum", options=value.options)
    return Reading(name, name=called, unit=value.unit)


def _present(own: OwnCommand, printed: str, failure: str) -> Value:
    """Return the value that a program has printed.

    Raises:
        ProgramError: It is none.
    """
    if own.show == "switch":
        # `systemctl is-active` says what is off with an exit code besides.
        word = printed.lower()
        if word in _ON | _OFF:
            return word in _ON
        raise ProgramError(failure or f"it prints {printed[:60]!r}, which is neither on nor off")
    if failure:
        raise ProgramError(failure)
    if own.show == "select":
        if printed in own.arguments["value"].options:
            return printed
        raise ProgramError(f"it prints {printed[:60]!r}, which is none of the options")
    try:
        return float(printed)
    except ValueError:
        raise ProgramError(f"it prints {printed[:60]!r}, which is no number") from None
