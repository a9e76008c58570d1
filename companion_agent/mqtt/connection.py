"""The connection to a broker: made, kept, explained when it fails, and made again.

Everything runs in the loop's thread, through paho's interface for external loops, except the
part of connecting that blocks (name, TCP, TLS): that has a thread of its own for as long as it
takes, because nothing else can put a time limit on looking up a name.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
import logging
import math
import random
import ssl
import time
from typing import TYPE_CHECKING, Protocol, cast

from paho.mqtt.client import MQTT_LOG_ERR, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from companion_agent.mqtt import errors, tls
from companion_agent.mqtt.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    import socket

    from paho.mqtt.client import DisconnectFlags
    from paho.mqtt.reasoncodes import ReasonCode

    from companion_agent.config.settings import Broker

LOG = logging.getLogger(__name__)

# One address gets this long to accept the connection, and as long for its half of TLS.
TCP_LIMIT = 5.0
# Name, all addresses and TLS together. A resolver that has lost its servers takes up to 10 s.
OPEN_LIMIT = 15.0
# From CONNECT to CONNACK. Brokers ask databases and directories about a login, so be patient.
GREETING_LIMIT = 10.0
# The second try comes after up to a second, each further one after up to twice as long as the
# one before, and none after more than a minute: a broker's restart is noticed soon, and a
# thousand agents do not knock at once (each draws its delay between nothing and the bound).
BACKOFF_FIRST = 1.0
BACKOFF_MOST = 60.0
# A machine that has just woken does not wait longer than the shortest pause, for this long: its
# network comes within seconds, or not at all.
HURRY = 60.0
# When the network changes, the next try comes at once, but not more often than this.
NUDGE_GAP = 1.0
# A connection that lived this long was a good one; the back-off starts again.
GOOD_AFTER = 30.0
# Attempts that never return (a resolver that hangs) are left behind, but not more than these.
MOST_ABANDONED = 4


class State(Enum):
    """Where the connection stands."""

    IDLE = auto()
    """Not wanted."""
    WAITING = auto()
    """Until the next attempt's time has come."""
    OPENING = auto()
    """An attempt looks up the name, connects and encrypts."""
    GREETING = auto()
    """CONNECT is sent, CONNACK is awaited."""
    ONLINE = auto()
    """The broker accepted us."""


class Listener(Protocol):
    """What the transport tells."""

    def connected(self) -> None:
        """The broker accepted the connection."""

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """A message came on a topic that was subscribed to."""

    def disconnected(self) -> None:
        """The connection that was accepted is gone."""


class Counts(Protocol):
    """Where lost connections and messages that were never sent are counted."""

    reconnects: int
    dropped_messages: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = True


class Transport:
    """Keeps a connection to the first broker that answers.

    The loop asks for `socket` and `wants_write` to select on, tells `readable()` and
    `writable()`, and calls `step()` after every wake-up and at `deadline()`.

    Attributes:
        state: Where the connection stands.
        listener: Who is told; set by its user.
        will: Writes what the broker says when the connection is lost, anew for each of those to
            come.
        trouble: Why the latest attempt failed; empty while online.
        denied: Topics on which the broker refused to take or to deliver messages.
        last_heard: When the broker of this or the last connection last sent something.

    Args:
        brokers: The brokers, the preferred one first.
        client_id: The MQTT client id unless a broker's configuration names one.
        counts: Where lost connections are counted.
        wake: Wakes the loop from another thread.
        clock: Monotonic seconds.
        draw: Draws a number between 0 and its argument.
        log: Where it says how the connection is.
    """

    def __init__(
        self,
        brokers: Sequence[Broker],
        client_id: str,
        counts: Counts,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float], float] = lambda bound: random.uniform(0, bound),  # noqa: S311
        log: logging.Logger | logging.LoggerAdapter[logging.Logger] = LOG,
    ) -> None:
        self.state = State.IDLE
        self.will: Callable[[], Message] | None = None
        self.listener: Listener | None = None
        self.trouble = ""
        self.denied: set[str] = set()
        self.last_heard = 0.0
        self._brokers = brokers
        self._client_id = client_id
        self._counts = counts
        self._wake = wake
        self._clock = clock
        self._draw = draw
        self._log = log
        self._client: Client | None = None
        self._attempt: Attempt | None = None
        self._abandoned: list[Attempt] = []
        self._next = 0  # which broker is next
        self._broker = brokers[0]
        self._failures = 0  # rounds through all brokers without success
        self._due = 0.0  # when the state times out, or the next attempt starts
        self._hurry_ends = 0.0
        self._nudged = 0.0  # when a try was brought forward last
        self._online_since = 0.0
        self._heard = 0.0  # when the broker was last heard, and last spoken to
        self._spoke = 0.0
        self._refusal = ""  # why the broker said no, while its connection still closes
        self._paho_error = ""
        self._complaints: dict[Broker, str] = {}
        # Topics of what is not acknowledged, by the message's id.
        self._publishing: dict[int, str] = {}
        self._subscribing: dict[int, list[str]] = {}
        # What paho told and is not handled yet.
        self._told: deque[tuple[Client, Callable[[], None]]] = deque()

    # --- What the agent asks for ---------------------------------------------------------

    @property
    def online(self) -> bool:
        """Whether messages can be sent."""
        return self.state is State.ONLINE

    @property
    def broker(self) -> Broker:
        """The broker of the current or latest attempt."""
        return self._broker

    def start(self) -> None:
        """Connect as soon as `step()` is called."""
        self._schedule(0)

    def reconnect(self, after: float = 0) -> None:
        """End the connection in an orderly way and make a new one.

        Args:
            after: Seconds to stay away.
        """
        self._disconnect()
        self._next = self._failures = 0
        self._schedule(after)

    def restart(self, reason: str) -> None:
        """Drop a connection that is probably dead and make a new one at once."""
        if self.online:
            self._fail(reason)
        self._let_go()
        self._next = self._failures = 0
        self._schedule(0)

    def hurry(self) -> None:
        """Connect at once, and for a while without long pauses: the network may come late."""
        self._hurry_ends = self._clock() + HURRY
        if self.state in {State.IDLE, State.WAITING}:
            self._next = self._failures = 0
            self._schedule(0)

    def nudge(self) -> None:
        """Try again soon what has failed before, because the network has changed."""
        now = self._clock()
        if self.state is State.OPENING and now > self._due - OPEN_LIMIT + NUDGE_GAP:
            # It asks a server, or goes a way, that was there before the change.
            self._let_go()
            self._next = 0
            self._schedule(0)
        elif self.state is State.WAITING and self._failures:
            # Changes come in swarms.
            self._nudged = max(now, self._nudged + NUDGE_GAP)
            self._due = min(self._due, self._nudged)

    def close(self) -> None:
        """End the connection in an orderly way: the broker does not send the will."""
        self._disconnect()
        self.state = State.IDLE

    def publish(self, message: Message) -> bool:
        """Send a message, and tell whether it is on its way: not without a connection."""
        client = self._client
        if client is None or not self.online:
            return False
        sent = client.publish(message.topic, message.payload, message.qos, message.retain)
        self._spoke = self._clock()
        if message.qos:
            self._publishing[sent.mid] = message.topic
        return sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def subscribe(self, topics: Iterable[str]) -> None:
        """Listen on topics; messages of our own do not come back where MQTT 5 is spoken."""
        client = self._client
        if client is None or not self.online:
            return
        names = list(topics)
        if self._broker.protocol == "5":
            options = SubscribeOptions(qos=1, noLocal=True)
            _, mid = client.subscribe([(name, options) for name in names])
        else:
            _, mid = client.subscribe([(name, 1) for name in names])
        self._spoke = self._clock()
        if mid is not None:
            self._subscribing[mid] = names

    @property
    def settled(self) -> bool:
        """Whether the broker has answered all that wants an answer."""
        return not self._publishing and not self._subscribing

    # --- What the loop asks and tells ----------------------------------------------------

    @property
    def socket(self) -> socket.socket | None:
        """The socket to select on; `None` while there is none."""
        return cast("socket.socket | None", self._client.socket()) if self._client else None

    @property
    def wants_write(self) -> bool:
        """Whether data waits until the socket can be written."""
        return self._client is not None and self._client.want_write()

    def readable(self) -> None:
        """Take what the broker sent."""
        client, sock = self._client, self.socket
        if client is None or sock is None:
            return
        self._heard = self._clock()
        self._run(client.loop_read)
        # What TLS has already decrypted would not wake the loop again.
        while self.socket is sock and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._run(client.loop_read)
        if self.socket is sock:
            # Not merely the end of the connection.
            self.last_heard = self._heard

    def writable(self) -> None:
        """Send on what had to wait."""
        if self._client and self._client.want_write():
            self._run(self._client.loop_write)
            self._spoke = self._clock()

    def deadline(self) -> float:
        """Return when `step()` is due without an event; infinity for never."""
        if self.state is State.IDLE:
            return math.inf
        if self.state is State.ONLINE:
            return self._silence_ends()
        return self._due

    def step(self) -> None:
        """Do what is due."""
        now = self._clock()
        if self.state is State.OPENING and self._attempt and self._attempt.done:
            self._opened(self._attempt)
        elif self.state is State.ONLINE:
            self._check_silence(now)
        elif self.state is not State.IDLE and now >= self._due:
            self._timed_out()

    # --- From state to state -------------------------------------------------------------

    def _schedule(self, after: float) -> None:
        self.state = State.WAITING
        self._due = self._clock() + after

    def _timed_out(self) -> None:
        if self.state is State.WAITING:
            self._open()
        elif self.state is State.OPENING:
            self._fail(f"no connection within {OPEN_LIMIT:.0f} s")
        elif self.state is State.GREETING:
            self._fail(
                f"it accepts connections but did not answer within {GREETING_LIMIT:.0f} s; "
                "is it an MQTT broker?"
            )

    def _open(self) -> None:
        self._abandoned = [attempt for attempt in self._abandoned if attempt.alive]
        if len(self._abandoned) >= MOST_ABANDONED:
            self._schedule(BACKOFF_MOST)
            return
        broker = self._broker = self._brokers[self._next]
        self._next += 1
        try:
            client = self._make_client(broker)
        except tls.TlsError as error:
            self._fail(str(error))
            return
        self.state = State.OPENING
        self._due = self._clock() + OPEN_LIMIT
        self._attempt = Attempt(client, broker, self._wake)
        self._attempt.start()

    def _opened(self, attempt: Attempt) -> None:
        self._attempt = None
        if attempt.error:
            self._fail(errors.opening(attempt.error, attempt.broker))
            return
        if attempt.client.socket() is None:
            # The connection ended while CONNECT was written: TLS 1.3 lets a broker refuse a
            # client's certificate that late.
            self._fail(errors.closing(attempt.broker, self._paho_error, greeting=True))
            return
        self._client = attempt.client
        self.state = State.GREETING
        self._due = self._clock() + GREETING_LIMIT

    def _accepted(self) -> None:
        self.state = State.ONLINE
        self._heard = self._spoke = self._online_since = self.last_heard = self._clock()
        self._complaints.clear()
        self.trouble = ""
        broker = self._broker
        self._log.info(
            "Connected to %s (MQTT %s%s)", broker, broker.protocol, ", TLS" if broker.tls else ""
        )
        if self.listener:
            self.listener.connected()

    def _fail(self, reason: str) -> None:
        """Report why there is no connection (once for each reason) and plan the next attempt."""
        broker = self._broker
        lost = self.state is State.ONLINE
        self._let_go()
        level = logging.DEBUG if self._complaints.get(broker) == reason else logging.WARNING
        self._complaints[broker] = self.trouble = reason
        if lost:
            self._counts.reconnects += 1
            self._log.log(level, "Lost the connection to %s: %s", broker, reason)
            if self._clock() - self._online_since >= GOOD_AFTER:
                self._failures = 0
            self._next = 0
        else:
            self._log.log(level, "Cannot connect to %s: %s; trying again", broker, reason)
            if self._next < len(self._brokers):
                self._schedule(0)
                return
            self._next = 0
        # The exponent is bounded because floats are.
        bound = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(self._failures, 16))
        if self._clock() < self._hurry_ends:
            bound = BACKOFF_FIRST
        self._failures += 1
        self._schedule(self._draw(bound))

    def _let_go(self) -> None:
        """Forget the connection without a word, so that the broker sends the will."""
        if self._attempt:
            self._attempt.give_up()
            self._abandoned.append(self._attempt)
            self._attempt = None
        client, self._client = self._client, None
        if client is None:
            return
        _silence(client)
        if sock := client.socket():
            sock.close()
        self._publishing.clear()
        self._subscribing.clear()
        if self.online and self.listener:
            self.state = State.IDLE
            self.listener.disconnected()

    def _disconnect(self) -> None:
        if self._client and self.online:
            _silence(self._client)
            self._client.disconnect()
            self._client.loop_write()
        self._let_go()

    # --- Silence -------------------------------------------------------------------------

    def _silence_ends(self) -> float:
        """Return when paho wants to probe the connection, or to give it up."""
        keepalive = self._client.keepalive if self._client else 0
        return min(self._heard, self._spoke) + (keepalive or self._broker.keepalive)

    def _check_silence(self, now: float) -> None:
        client = self._client
        if client is None or now < self._silence_ends():
            return
        self._run(client.loop_misc)  # sends PINGREQ; closes when the last one was not answered
        self._heard = self._spoke = now

    # --- What paho tells -----------------------------------------------------------------

    def _make_client(self, broker: Broker) -> Client:
        five = broker.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id or self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = TCP_LIMIT
        if broker.username:
            client.username_pw_set(broker.username, broker.password.reveal() or None)
        if broker.tls:
            # Read anew for every connection: certificates are renewed while the agent runs.
            client.tls_set_context(tls.context(broker.tls))
        if self.will:
            will = self.will()
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._later(lambda _flags, code, _p: self._answered(code))
        client.on_disconnect = self._later(lambda flags, code, _p: self._ended(flags, code))
        client.on_message = self._later(self._heard_message)
        client.on_publish = self._later(lambda mid, code, _p: self._published(mid, code))
        client.on_subscribe = self._later(lambda mid, codes, _p: self._subscribed(mid, codes))
        client.on_log = self._on_log
        self._refusal = self._paho_error = ""
        return client

    def _later(self, handler: Callable[..., None]) -> Callable[..., None]:
        """Make a callback that is handled after paho has returned.

        So what is published then is written at once, and an error of ours is not taken for one
        of the broker's.
        """
        return lambda client, _data, *told: self._told.append((client, partial(handler, *told)))

    def _run(self, paho: Callable[[], object]) -> None:
        """Let paho work, then handle what it told."""
        try:
            paho()
        except Exception as error:
            # A broker's nonsense must not end the agent.
            LOG.debug("paho failed with %s", self._broker, exc_info=True)
            self._fail(f"the broker sent what is not MQTT ({type(error).__name__})")
        while self._told:
            client, handle = self._told.popleft()
            if client is self._client:
                handle()

    def _answered(self, code: ReasonCode) -> None:
        if code.is_failure:
            self._refusal = errors.refusal(code, self._broker)
        else:
            self._accepted()

    def _ended(self, flags: DisconnectFlags, code: ReasonCode) -> None:
        if self._refusal:
            self._fail(self._refusal)
        elif flags.is_disconnect_packet_from_server:
            self._fail(errors.disconnect(code))
        elif code.getName() == "Keep alive timeout":
            self._fail(f"silent for {2 * self._broker.keepalive} s")
        else:
            greeting = self.state is State.GREETING
            self._fail(errors.closing(self._broker, self._paho_error, greeting=greeting))

    def _heard_message(self, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if self.listener:
            self.listener.received(topic, bytes(message.payload), retained=message.retain)

    def _published(self, mid: int, code: ReasonCode) -> None:
        # paho also tells of messages at QoS 0, when they are written.
        if (topic := self._publishing.pop(mid, None)) is None:
            return
        if not code.is_failure:
            self._allowed(topic)
        elif topic not in self.denied:
            self.denied.add(topic)
            self._log.warning(
                "%s refused a message on %s: %s", self._broker, topic, errors.denial(code)
            )

    def _subscribed(self, mid: int, codes: Sequence[ReasonCode]) -> None:
        refused = []
        for topic, code in zip(self._subscribing.pop(mid, ()), codes, strict=False):
            if not code.is_failure:
                self._allowed(topic)
            elif topic not in self.denied:
                self.denied.add(topic)
                refused.append(f"{topic} ({errors.denial(code)})")
        if refused:
            self._log.warning(
                "%s refused to deliver %s. The agent works, but may not notice a clone, a stale "
                "will or a restart of Home Assistant",
                self._broker,
                ", ".join(refused),
            )

    def _allowed(self, topic: str) -> None:
        if topic in self.denied:
            self.denied.discard(topic)
            self._log.info("%s allows %s again", self._broker, topic)

    def _on_log(self, client: Client, _data: object, level: int, text: str) -> None:
        connecting = self._attempt.client if self._attempt else None
        if level == MQTT_LOG_ERR and client in {self._client, connecting}:
            self._paho_error = text


def _silence(client: Client) -> None:
    client.on_disconnect = client.on_message = client.on_publish = client.on_log = None
