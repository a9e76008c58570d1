"""A D-Bus connection that an asyncio task waits on: calls are awaited, signals are called back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from companion_agent.platforms.linux.dbus import (
    CALL_LIMIT,
    BusError,
    BusGoneError,
    Listener,
    Signal,
    Target,
    plain,
)

if TYPE_CHECKING:
    from companion_agent.platforms.linux.dbus import BusName

_BUS = Target("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PROPERTIES = "org.freedesktop.DBus.Properties"

OnSignal = Callable[[Signal], None]


class AsyncBus:
    """A connection to a bus, of the event loop it was made in.

    Nothing is asked repeatedly: what services say by themselves comes through `subscribe()`. The
    rules name a service by its well-known name; the bus follows its owner.

    Args:
        bus: Which one.
        gone: Called when the connection broke; there is no second one.

    Raises:
        BusGoneError: There is no such bus.
    """

    def __init__(self, bus: BusName, gone: Callable[[BusGoneError], None]) -> None:
        self._listener = Listener(bus)
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.socket, self._pump)
        self._subscribed: list[tuple[dict[str, str], OnSignal]] = []
        self._open = True

    def subscribe(self, called: OnSignal, **rule: str) -> None:
        """Have signals called back.

        Args:
            called: Takes each of them.
            **rule: The match rule: `sender`, `path`, `path_namespace`, `interface`, `member`,
                `arg0`. `sender` is looked after by the bus: a signal's own is a unique name.

        Raises:
            BusGoneError: The connection broke.
        """
        self._subscribed.append((rule, called))
        self._listener.listen(**rule)

    async def call(
        self,
        target: Target,
        method: str,
        signature: str = "",
        *args: object,
        limit: float = CALL_LIMIT,
    ) -> tuple[Any, ...]:
        """Call a method and return what it answers.

        Args:
            target: Whom to call.
            method: What to call.
            signature: The types of its arguments.
            *args: Its arguments.
            limit: Seconds to wait for the answer.

        Raises:
            BusError: It answered with an error, or not in time.
        """
        answer: asyncio.Future[tuple[Any, ...]] = self._loop.create_future()

        def take(reply: tuple[Any, ...] | BusError) -> None:
            if answer.done():
                return
            if isinstance(reply, BusError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

        if not self._open:
            raise BusGoneError("the D-Bus connection broke")
        self._listener.call(take, target, method, signature, *args)
        # An answer may have come with another one already; the socket then tells nothing.
        self._loop.call_soon(self._pump)
        try:
            return await asyncio.wait_for(answer, limit)
        except TimeoutError:
            raise BusError("", f"{target.service} does not answer") from None

    def tell(self, target: Target, method: str, signature: str = "", *args: object) -> None:
        """Call a method whose answer does not matter, or do nothing on a connection that broke."""
        if self._open:
            with suppress(BusGoneError):
                self._listener.call(None, target, method, signature, *args)

    async def get(self, target: Target, name: str) -> Any:  # noqa: ANN401  (any type of D-Bus)
        """Return a property.

        Raises:
            BusError: It cannot be read.
        """
        asked = target.at(target.path, _PROPERTIES)
        ((_, value),) = await self.call(asked, "Get", "ss", target.interface, name)
        return value

    async def get_all(self, target: Target) -> dict[str, Any]:
        """Return all properties of an object's interface.

        Raises:
            BusError: They cannot be read.
        """
        asked = target.at(target.path, _PROPERTIES)
        (properties,) = await self.call(asked, "GetAll", "s", target.interface)
        return plain(properties)

    async def set(self, target: Target, name: str, signature: str, value: object) -> None:
        """Set a property.

        Raises:
            BusError: It was refused.
        """
        asked = target.at(target.path, _PROPERTIES)
        await self.call(asked, "Set", "ssv", target.interface, name, (signature, value))

    async def owner(self, service: str) -> str:
        """Return the unique name of a service that runs; empty where none does."""
        with suppress(BusError):
            (name,) = await self.call(_BUS, "GetNameOwner", "s", service)
            return str(name)
        return ""

    def on_owner(self, called: Callable[[str], None], service: str) -> None:
        """Have the new owner of a name called back whenever it changes; empty when it has gone."""

        def take(signal: Signal) -> None:
            if signal.body[0] == service:
                called(str(signal.body[2]))

        self.subscribe(
            take, sender=_BUS.service, interface=_BUS.interface, member="NameOwnerChanged",
            arg0=service,
        )  # fmt: skip

    def on_properties(
        self, called: Callable[[dict[str, Any], list[str]], None], target: Target
    ) -> None:
        """Have changed properties of an object called back: those with values, those without."""

        def take(signal: Signal) -> None:
            if signal.body[0] == target.interface:
                called(plain(signal.body[1]), list(signal.body[2]))

        self.subscribe(
            take, sender=target.service, path=target.path, interface=_PROPERTIES,
            member="PropertiesChanged", arg0=target.interface,
        )  # fmt: skip

    def close(self) -> None:
        """Hang up."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener.socket)
            self._listener.close()

    def _pump(self) -> None:
        if not self._open:
            return
        try:
            signals = self._listener.pump()
        except BusGoneError as error:
            self.close()
            self._gone(error)
            return
        for signal in signals:
            for rule, called in list(self._subscribed):
                if _fits(rule, signal):
                    called(signal)


def _fits(rule: dict[str, str], signal: Signal) -> bool:
    """Tell whether a signal is meant by a rule; the bus has checked the sender."""
    if "arg0" in rule and (not signal.body or signal.body[0] != rule["arg0"]):
        return False
    namespace = rule.get("path_namespace")
    if namespace and not f"{signal.path}/".startswith(f"{namespace.rstrip('/')}/"):
        return False
    return all(
        rule.get(name) in (None, value)
        for name, value in (
            ("path", signal.path),
            ("interface", signal.interface),
            ("member", signal.member),
        )
    )
