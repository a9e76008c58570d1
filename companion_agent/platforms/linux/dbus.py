"""D-Bus: calls that wait for their answer, and a connection that a loop can select on.

Everything that knows the D-Bus library is in here. It is loaded with the first bus that there is,
since it takes a megabyte, and containers and the smallest systems have none. Source: the D-Bus
specification.
"""

from __future__ import annotations

from collections.abc import Callable
import errno
import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

if TYPE_CHECKING:
    import socket

    from jeepney import FileDescriptor, Message  # type: ignore[import-untyped]
    from jeepney.io.blocking import DBusConnection  # type: ignore[import-untyped]

# Answers take well under a second, unless a service has to be started to give them.
CALL_LIMIT = 10.0

BusName = Literal["SYSTEM", "SESSION"]

# Where the system bus is unless the environment says another place. Source: the specification,
# "Well-known Message Bus Instances".
_SYSTEM_BUS = "/var/run/dbus/system_bus_socket"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_ERRORS = "org.freedesktop.DBus.Error."
NOT_THERE = frozenset(
    _ERRORS + name
    for name in (
        "ServiceUnknown",
        "NameHasNoOwner",
        "Spawn.ServiceNotFound",
        "Spawn.ExecFailed",
        "Spawn.ChildExited",
        "Spawn.Failed",
    )
)
"""Errors that say that a service is not installed or does not start."""
DENIED = frozenset(
    _ERRORS + name for name in ("AccessDenied", "InteractiveAuthorizationRequired", "AuthFailed")
)
"""Errors that say that this user may not do it."""
UNANSWERED = frozenset(
    ("", *(_ERRORS + name for name in ("NoReply", "TimedOut", "Timeout", "Disconnected")))
)
"""Errors that say that there was no answer, as of a service that is busy or starts anew."""


class BusError(Exception):
    """A service answered with an error, or not at all.

    Attributes:
        name: The error's D-Bus name; empty when there was no answer.
        text: What the service says about it.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name
        self.text = text or name


class BusGoneError(BusError):
    """There is no system bus, or not any more."""

    def __init__(self, text: str) -> None:
        super().__init__("", text)


class Target(NamedTuple):
    """Whom a call is for."""

    service: str
    path: str
    interface: str

    def at(self, path: str, interface: str | None = None) -> Target:
        """Return another object of the same service."""
        return Target(self.service, path, interface or self.interface)


class Signal(NamedTuple):
    """A signal as it came. Any program may send one: look at the sender, a unique name."""

    sender: str
    path: str
    interface: str
    member: str
    body: tuple[Any, ...]


class Bus:
    """A connection for calls that wait for their answer; for the worker.

    Raises:
        BusGoneError: There is no system bus.
    """

    def __init__(self) -> None:
        self._connection = _open("SYSTEM", fds=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def name(self) -> str:
        """Our own name on the bus."""
        return str(self._connection.unique_name)

    def call(
        self, target: Target, method: str, signature: str = "", *args: object
    ) -> tuple[Any, ...]:
        """Call a method and return what it answers.

        Raises:
            BusError: It answered with an error, or not in time.
        """
        message = _method_call(target, method, signature, args)
        try:
            reply = self._connection.send_and_get_reply(message, timeout=CALL_LIMIT)
        except TimeoutError:
            raise BusError("", f"{target.service} does not answer") from None
        except OSError as error:
            raise BusGoneError(f"the D-Bus connection broke ({error.strerror})") from error
        return _result(reply)

    def properties(self, target: Target) -> dict[str, Any]:
        """Return all properties of an object's interface.

        Raises:
            BusError: They cannot be read.
        """
        asked = target.at(target.path, _PROPERTIES)
        return plain(self.call(asked, "GetAll", "s", target.interface)[0])


Reply = Callable[[tuple[Any, ...] | BusError], None]


class Listener:
    """A connection for the loop: calls return at once, `pump()` brings answers and signals.

    Making one waits for the bus, so it belongs in a thread.

    Args:
        bus: `SYSTEM`, or `SESSION` for the one of the user's session.

    Raises:
        BusGoneError: There is no such bus.
    """

    def __init__(self, bus: BusName = "SYSTEM") -> None:
        self._connection = _open(bus, fds=True)
        self._waiting: dict[int, Reply] = {}

    @property
    def socket(self) -> socket.socket:
        """The socket to select on."""
        found: socket.socket = self._connection.sock
        return found

    def listen(self, **rule: str) -> None:
        """Have signals sent here.

        Args:
            **rule: The match rule: `sender`, `interface`, `member`, `path_namespace`, `arg0`.

        Raises:
            BusGoneError: The connection broke.
        """
        from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]  # noqa: PLC0415

        text = ",".join(f"{name}='{value}'" for name, value in {"type": "signal", **rule}.items())
        self._send(message_bus.AddMatch(text), None)

    def call(
        self, answer: Reply | None, target: Target, method: str, signature: str = "", *args: object
    ) -> None:
        """Call a method.

        Args:
            answer: Called by `pump()` with what came back.
            target: Whom to call.
            method: What to call.
            signature: The types of its arguments.
            *args: Its arguments.

        Raises:
            BusGoneError: The connection broke.
        """
        self._send(_method_call(target, method, signature, args), answer)

    def ask_properties(self, answer: Callable[[dict[str, Any]], None], target: Target) -> None:
        """Ask for all properties of an object's interface; there is no answer if it is gone.

        Raises:
            BusGoneError: The connection broke.
        """

        def take(reply: tuple[Any, ...] | BusError) -> None:
            if not isinstance(reply, BusError):
                answer(plain(reply[0]))

        self.call(take, target.at(target.path, _PROPERTIES), "GetAll", "s", target.interface)

    def pump(self) -> list[Signal]:
        """Hand out the answers that are there, and return the signals.

        Raises:
            BusGoneError: The connection broke.
        """
        from jeepney import HeaderFields, MessageType  # noqa: PLC0415  (there is a bus)

        signals = []
        while (message := self._receive()) is not None:
            fields = message.header.fields
            if message.header.message_type is MessageType.signal:
                signals.append(
                    Signal(
                        fields.get(HeaderFields.sender, ""),
                        fields.get(HeaderFields.path, ""),
                        fields.get(HeaderFields.interface, ""),
                        fields.get(HeaderFields.member, ""),
                        message.body,
                    )
                )
            elif answer := self._waiting.pop(fields.get(HeaderFields.reply_serial, -1), None):
                try:
                    answer(_result(message))
                except BusError as error:
                    answer(error)
        return signals

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _send(self, message: Message, answer: Reply | None) -> None:
        serial = next(self._connection.outgoing_serial)
        if answer:
            self._waiting[serial] = answer
        try:
            self._connection.send(message, serial=serial)
        except OSError as error:
            raise BusGoneError(f"the D-Bus connection broke ({error.strerror})") from error

    def _receive(self) -> Message | None:
        try:
            return self._connection.receive(timeout=0)
        except TimeoutError:
            return None
        except OSError as error:
            raise BusGoneError(f"the D-Bus connection broke ({error.strerror})") from error
        except (ValueError, RuntimeError) as error:
            raise BusGoneError(f"the D-Bus connection brought nonsense ({error})") from error


def take_descriptor(value: FileDescriptor) -> int:
    """Take over a file descriptor that came in an answer; close it with `os.close`."""
    return int(value.to_raw_fd())


def plain(properties: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """Strip the types off the values of `a{sv}`."""
    return {name: value for name, (_, value) in properties.items()}


def _open(bus: BusName, *, fds: bool) -> DBusConnection:
    name = f"D-Bus {bus.lower()} bus"
    elsewhere = bus == "SESSION" or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
    if not elsewhere and not os.path.exists(_SYSTEM_BUS):  # noqa: PTH110  (a text will do)
        raise BusGoneError(f"there is no {name} ({os.strerror(errno.ENOENT)})")
    from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415  (now there is a bus)

    try:
        return open_dbus_connection(bus=bus, enable_fds=fds)
    except TimeoutError as error:
        raise BusGoneError(f"the {name} does not answer") from error
    except OSError as error:
        raise BusGoneError(f"there is no {name} ({error.strerror or error})") from error
    except KeyError as error:
        raise BusGoneError(f"there is no {name} ({error.args[0]} is not set)") from error
    except (ValueError, RuntimeError) as error:
        raise BusGoneError(f"the {name} cannot be used ({error})") from error


def _method_call(target: Target, method: str, signature: str, args: tuple[object, ...]) -> Message:
    from jeepney import DBusAddress, new_method_call  # noqa: PLC0415  (there is a bus)

    address = DBusAddress(target.path, bus_name=target.service, interface=target.interface)
    return new_method_call(address, method, signature or None, args)


def _result(message: Message) -> tuple[Any, ...]:
    from jeepney import HeaderFields, MessageType  # noqa: PLC0415  (there is a bus)

    body: tuple[Any, ...] = message.body
    if message.header.message_type is not MessageType.error:
        return body
    name = str(message.header.fields.get(HeaderFields.error_name, ""))
    raise BusError(name, body[0] if body and isinstance(body[0], str) else "")
