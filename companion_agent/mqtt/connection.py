"""The connection to a broker: made, kept, explained when it fails, and made again.

Everything runs in the event loop, through paho's interface for external loops, except the part
of connecting that blocks (name, TCP, TLS): that has a thread of its own for as long as it takes,
because nothing else can put a time limit on looking up a name.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto
from functools import partial
import logging
import math
import random
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from companion_agent.mqtt import errors, peer, system_socket, tls, websocket
from companion_agent.mqtt.limits import Limits
from companion_agent.mqtt.paho import (
    MQTT_LOG_ERR,
    CallbackAPIVersion,
    Client,
    MQTTErrorCode,
    MQTTMessage,
    MQTTProtocolVersion,
    SubscribeOptions,
    WebsocketConnectionError,
)
from companion_agent.timing import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from paho.mqtt.client import DisconnectFlags, SocketLike
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from companion_agent.config.settings import Broker

_LOGGER = logging.getLogger(__name__)

# One address gets this long to accept the connection, and as long for its half of TLS and of HTTP.
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
# For this long after a change tries that fail are repeated soon. The kernel ends them together with
# earlier ones to the same router: Linux asks for its address for three seconds, and all that began
# meanwhile, were it after the change, fails with the first.
NUDGE_HURRY = 5.0
# A connection that lived this long was a good one; the back-off starts again.
GOOD_AFTER = 30.0
# A subscription that was refused, or not answered within this time, is tried again after so long,
# then after twice as long each time: a cluster that has lost a node takes seconds to elect another
# leader, an access list is mended by a person.
SUBACK_LIMIT = 10.0
RESUBSCRIBE_FIRST = 2.0
RESUBSCRIBE_MOST = 300.0
# Messages that wait for their acknowledgement at once, unless the broker takes fewer. The agent
# has few; HiveMQ takes ten.
MOST_INFLIGHT = 10
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
    """What hears of the connection."""

    def connected(self) -> None:
        """The broker accepted the connection."""

    def disconnected(self) -> None:
        """The connection that was accepted is gone."""


class Counts(Protocol):
    """Where lost connections and messages that were never sent are counted."""

    reconnects: int
    dropped_messages: int


class Receiver(Protocol):
    """What takes messages."""

    def __call__(self, topic: str, payload: bytes, /, *, retained: bool) -> None:
        """A message came on a topic that was subscribed to."""


class Message(NamedTuple):
    """One message to publish."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = True


class _Terms(NamedTuple):
    """What a connection asks of a broker: less once the broker has refused more.

    Attributes:
        protocol: The version of MQTT.
        will_qos: The highest quality of service of the will.
        will_retain: Whether the will may be retained.
        inflight: How many messages may wait for their acknowledgement.
    """

    protocol: str
    will_qos: int = 1
    will_retain: bool = True
    inflight: int = MOST_INFLIGHT

    def without(self, refused: str) -> _Terms | None:
        """Return what may be accepted instead; `None` when it was refused for another reason.

        Args:
            refused: The name of the reason that the broker gave.
        """
        match refused:
            case "Unsupported protocol version" if self.protocol == "5":
                return self._replace(protocol="3.1.1")
            case "Retain not supported" if self.will_retain:
                return self._replace(will_retain=False)
            case "QoS not supported" if self.will_qos:
                return self._replace(will_qos=0)
        return None


class _Attempt:
    """One attempt to connect, up to the sent CONNECT: what blocks.

    That is the name, TCP, TLS and the WebSocket's handshake.

    Attributes:
        client: Connects, and belongs to the event loop when the attempt is done.
        broker: What it connects to.
        done: Whether it has ended, in one way or the other.
        error: Why it failed; `None` when it did not.
        given_up: Whether nothing waits for it any more.
    """

    def __init__(self, client: Client, broker: Broker, ended: Callable[[], None]) -> None:
        self.client = client
        self.broker = broker
        self.error: Exception | None = None
        self.done = False
        self.given_up = False
        self._ended = ended
        client.on_socket_open = self._opened
        self._thread = threading.Thread(target=self._run, name="connect", daemon=True)

    def start(self) -> None:
        """Begin; `ended` is called at the end, in its thread."""
        self._thread.start()

    def give_up(self) -> None:
        """Let it end in its own time; a connection that still comes is closed."""
        self.given_up = True
        self._close_late()

    @property
    def alive(self) -> bool:
        """Whether its thread still waits for something."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._connect()
        except Exception as error:  # noqa: BLE001  (whatever it is, `errors.opening` explains it)
            self.error = error
        self.done = True
        self._close_late()
        self._ended()

    def _connect(self) -> None:
        try:
            self.client.connect(self.broker.host, self.broker.port, self.broker.keepalive)
        except WebsocketConnectionError:
            raise websocket.HandshakeError(websocket.explain(self.broker)) from None

    def _close_late(self) -> None:
        if self.given_up and self.done and (sock := self.client.socket()):
            sock.close()

    def _opened(self, _client: Client, _data: object, sock: SocketLike) -> None:
        if self.given_up:
            raise ConnectionAbortedError("too late")
        # Small messages do not wait for the acknowledgement of earlier ones. By another descriptor
        # of the same connection: paho's WebSocket hides the socket in it.
        with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
            same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Transport:
    """Keeps a connection to the first broker that answers.

    `run()` is its task. All other methods belong to the same event loop.

    Attributes:
        state: Where the connection stands.
        listener: What hears of the connection; set by its user.
        receiver: What takes messages; set by its user.
        will: Writes what the broker says when the connection is lost, anew for each of those to
            come.
        trouble: Why the latest attempt failed; empty while online.
        protocol: The version of MQTT that is spoken, or was last.
        limits: What the broker takes.
        returned: Whether this connection follows one that was lost, and not one that was ended
            here: other hosts may have lost theirs at the same moment.
        unwritable: Topics on which the broker refused a message, and why.
        unreadable: Topics that the broker refused to deliver, and why. They are tried again.
        last_heard: When the broker of this or the last connection last sent something.

    Args:
        brokers: The brokers, the preferred one first.
        client_id: What the MQTT client ids begin with, unless a broker's configuration names one.
        counts: Where lost connections are counted.
        clock: Monotonic seconds, those of the event loop.
        draw: Draws a number between 0 and its argument.
        log: Where it says how the connection is.
    """

    def __init__(
        self,
        brokers: Sequence[Broker],
        client_id: str,
        counts: Counts,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float], float] = lambda bound: random.uniform(0, bound),  # noqa: S311
        log: logging.Logger | logging.LoggerAdapter[logging.Logger] = _LOGGER,
        *,
        one_client_id: bool = False,
    ) -> None:
        self.state = State.IDLE
        self.will: Callable[[], Message] | None = None
        self.listener: Listener | None = None
        self.receiver: Receiver | None = None
        self.trouble = ""
        self.protocol: str = brokers[0].protocol
        self.limits = Limits()
        self.returned = False
        self.unwritable: dict[str, str] = {}
        self.unreadable: dict[str, str] = {}
        self.last_heard = 0.0
        self._brokers = brokers
        self._client_id = client_id
        self._one_client_id = one_client_id
        self._clients = 0
        self._counts = counts
        self._clock = clock
        self._draw = draw
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm = Alarm()
        self._observers: list[Callable[[], None]] = []
        self._shown: tuple[object, ...] = ()
        self._client: Client | None = None
        self._peer: SocketLike | None = None  # of the latest connection
        self._watched: SocketLike | None = None  # what the event loop waits for
        self._watched_for_writing = False
        self._attempt: _Attempt | None = None
        self._abandoned: list[_Attempt] = []
        self._next = 0  # which broker is next
        self._broker = brokers[0]
        self._failures = 0  # rounds through all brokers without success
        self._due = 0.0  # when the state times out, or the next attempt starts
        self._hurry_ends = 0.0
        self._nudged = 0.0  # when a try was brought forward last
        self._online_since = 0.0
        self._heard = 0.0  # when the broker was last heard, and last spoken to
        self._spoke = 0.0
        self._terms = _Terms(brokers[0].protocol)
        self._humbler: _Terms | None = None  # what to ask for instead, while it still closes
        self._refusal = ""  # why the broker said no, while its connection still closes
        self._paho_error = ""
        self._complaints: dict[Broker, str] = {}
        # Topics of what is not acknowledged, by the message's id.
        self._publishing: dict[int, str] = {}
        self._subscribing: dict[int, list[str]] = {}
        self._suback_due = math.inf
        self._hears_itself = False
        self._resubscribe: set[str] = set()
        self._resubscribe_due = math.inf
        self._resubscribe_pause = RESUBSCRIBE_FIRST
        self._too_large: set[str] = set()
        self._largest = ("", -1)  # of what was said last: topic, bytes
        # More bytes than the system had yet to send at the last look, unless some were sent since.
        self._unsent = 0.0
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

    async def run(self) -> None:
        """Keep the connection that is wanted, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._step()
            await self._alarm.wait(self._deadline())

    def observe(self, changed: Callable[[], None]) -> None:
        """Have something called whenever it goes online or offline, settles, or is in trouble."""
        self._observers.append(changed)

    def start(self) -> None:
        """Connect."""
        self._schedule(0)

    def reconnect(self, after: float = 0) -> None:
        """End the connection in an orderly way and make a new one.

        Args:
            after: Seconds to stay away.
        """
        self._disconnect()
        self.returned = False
        self._next = self._failures = 0
        self._schedule(after)

    def restart(self, reason: str) -> None:
        """Drop a connection that is probably dead and make a new one at once."""
        if self.online:
            self._fail(reason)
        self._let_go()
        self.returned = False
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
        self._hurry_ends = max(self._hurry_ends, now + NUDGE_HURRY)
        if self.state is State.OPENING and now > self._due - OPEN_LIMIT + NUDGE_GAP:
            # It asks a server, or goes a way, that was there before the change.
            self._let_go()
            self._next = 0
            self._schedule(0)
        elif self.state is State.WAITING and self._failures:
            # Changes come in swarms.
            self._nudged = max(now, self._nudged + NUDGE_GAP)
            self._due = min(self._due, self._nudged)
            self._alarm.ring()

    def close(self) -> None:
        """End the connection in an orderly way: the broker does not send the will."""
        self._disconnect()
        self.state = State.IDLE
        self._look_around()

    def room(self, topic: str) -> float:
        """Return how many bytes a message on a topic may have."""
        return self.limits.room(topic)

    def publish(self, message: Message) -> bool:
        """Send a message, and tell whether it is on its way: not without a connection.

        What the broker does not take is left out of it: retaining, the quality of service. One
        that is too large for it is not sent, since the broker would end the connection.
        """
        client = self._client
        if client is None or not self.online:
            return False
        topic, size = message.topic, len(message.payload)
        if size > self.room(topic):
            self._refuse_large(topic, size)
            return False
        qos, retain = min(message.qos, self.limits.qos), message.retain and self.limits.retain
        sent = client.publish(topic, message.payload, qos, retain)
        self._spoke = self._clock()
        self._unsent += size
        self._largest = max(self._largest, (topic, size), key=lambda one: one[1])
        if qos:
            self._publishing[sent.mid] = topic
        self._look_around()
        return sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _refuse_large(self, topic: str, size: int) -> None:
        if topic not in self._too_large:
            self._too_large.add(topic)
            self._log.warning(
                "A message on %s is not sent: it has %d bytes, and %s takes %s",
                topic,
                size,
                self._broker,
                errors.packet_limit(self.limits.packet),
            )

    def subscribe(self, topics: Iterable[str], *, own: bool = False) -> None:
        """Listen on topics.

        Args:
            topics: The topics, which may have wildcards.
            own: Whether to hear messages of our own where MQTT 5 is spoken; with 3.1.1 they
                always come back.
        """
        if not self.online:
            return
        self._hears_itself = own
        names, others = self.limits.hearable(topics)
        if others and others[0] not in self.unreadable:
            self.unreadable |= dict.fromkeys(others, "it takes no subscriptions with wildcards")
            self._log.warning(
                "%s takes no subscriptions with wildcards: what is said on %s is not heard",
                self._broker,
                ", ".join(others),
            )
        size = sum(len(name.encode()) + 3 for name in names) + 10
        for part in [names] if size <= self.limits.packet else [[name] for name in names]:
            if part:
                self._subscribe(part)
        self._look_around()

    def _subscribe(self, names: list[str]) -> None:
        if self._client is None:
            return
        if self.protocol == "5":
            options = SubscribeOptions(qos=1, noLocal=not self._hears_itself)
            _, mid = self._client.subscribe([(name, options) for name in names])
        else:
            _, mid = self._client.subscribe([(name, 1) for name in names])
        self._spoke = self._clock()
        if mid is not None:
            self._subscribing[mid] = names
            self._suback_due = self._clock() + SUBACK_LIMIT
            self._alarm.ring()

    @property
    def settled(self) -> bool:
        """Whether the broker has answered all that wants an answer."""
        return not self._publishing and not self._subscribing

    @property
    def wants_write(self) -> bool:
        """Whether data waits until the socket can be written."""
        return self._client is not None and self._client.want_write()

    # --- In the event loop ---------------------------------------------------------------

    @property
    def _socket(self) -> SocketLike | None:
        return self._client.socket() if self._client else None

    def _look_around(self) -> None:
        """Wait for the socket that there is now, and tell observers what has changed."""
        sock, loop = self._socket, self._loop
        if sock is not self._watched:
            self._watch_no_more()
        writing = sock is not None and self.wants_write
        if sock is not None and loop is not None:
            if self._watched is None:
                loop.add_reader(sock, self._readable)
                self._watched = sock
            if writing and not self._watched_for_writing:
                loop.add_writer(sock, self._writable)
            elif self._watched_for_writing and not writing:
                loop.remove_writer(sock)
            self._watched_for_writing = writing
        if self._told and loop is not None:
            # paho has noticed the end of the connection when something was sent.
            loop.call_soon(self._run, lambda: None)
        shown = (self.state, self.broker, self.trouble, self.settled, writing)
        if shown != self._shown:
            self._shown = shown
            for changed in self._observers:
                changed()

    def _watch_no_more(self) -> None:
        """Take the socket from the event loop, before it is closed: its number may come again."""
        if self._watched is not None and self._loop is not None:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
        self._watched, self._watched_for_writing = None, False

    def _closes(self, _client: Client, _data: object, sock: SocketLike) -> None:
        if sock is self._watched:
            self._watch_no_more()

    def _readable(self) -> None:
        """Take what the broker sent."""
        client, sock = self._client, self._socket
        if client is None or sock is None:
            return
        self._heard = self._clock()
        if self._greeted_by_another(sock):
            return
        self._run(client.loop_read)
        # What TLS has already decrypted would not wake the event loop again.
        while self._socket is sock and _decrypted(sock):
            self._run(client.loop_read)
        if self._greeted_by_another(sock):
            return
        if self._socket is sock:
            # Not merely the end of the connection.
            self.last_heard = self._heard

    def _greeted_by_another(self, sock: SocketLike) -> bool:
        """Tell whether something answers that is no broker, and give it up then."""
        if self.state is not State.GREETING or not (foreign := self._foreign_words(sock)):
            return False
        self._fail(peer.explain(foreign, self._broker))
        self._look_around()
        return True

    @staticmethod
    def _foreign_words(sock: SocketLike) -> bytes:
        """Return what the other end said first when no broker says that."""
        if not isinstance(sock, socket.socket):
            return b""  # A WebSocket for MQTT: it has agreed to that.
        if isinstance(sock, ssl.SSLSocket):
            first = sock.first if isinstance(sock, tls.Socket) else b""
        else:
            try:
                first = sock.recv(peer.FIRST_BYTES, socket.MSG_PEEK)
            except OSError:
                return b""
        return b"" if not first or peer.is_mqtt(first) else first

    def _writable(self) -> None:
        """Send on what had to wait."""
        if self._client and self._client.want_write():
            self._run(self._client.loop_write)
            self._spoke = self._clock()
            self._unsent = math.inf

    def _deadline(self) -> float:
        """Return when `_step()` is due without an event; infinity for never."""
        if self.state is State.IDLE:
            return math.inf
        if self.state is State.ONLINE:
            return min(self._silence_ends(), self._suback_due, self._resubscribe_due)
        return self._due

    def _step(self) -> None:
        """Do what is due."""
        now = self._clock()
        if self.state is State.OPENING and self._attempt and self._attempt.done:
            self._opened(self._attempt)
        elif self.state is State.ONLINE:
            self._check_silence(now)
            self._check_subscriptions(now)
        elif self.state is not State.IDLE and now >= self._due:
            self._timed_out()
        self._look_around()

    # --- From state to state -------------------------------------------------------------

    def _schedule(self, after: float) -> None:
        self.state = State.WAITING
        self._due = self._clock() + after
        self._alarm.ring()

    def _timed_out(self) -> None:
        if self.state is State.WAITING:
            self._open()
        elif self.state is State.OPENING:
            self._fail(f"no connection within {OPEN_LIMIT:.0f} s")
        elif self.state is State.GREETING:
            self._fail(errors.silence(self._broker, GREETING_LIMIT))

    def _open(self) -> None:
        self._abandoned = [attempt for attempt in self._abandoned if attempt.alive]
        if len(self._abandoned) >= MOST_ABANDONED:
            self._schedule(BACKOFF_MOST)
            return
        broker = self._broker = self._brokers[self._next]
        self._next += 1
        self._connect(broker, _Terms(broker.protocol))

    def _connect(self, broker: Broker, terms: _Terms) -> None:
        self._terms = terms
        self.protocol = terms.protocol
        self.limits = Limits()
        try:
            client = self._make_client(broker, terms)
        except tls.TlsError as error:
            self._fail(str(error))
            return
        self.state = State.OPENING
        self._due = self._clock() + OPEN_LIMIT
        self._attempt = _Attempt(client, broker, self._alarm.ring_from_thread)
        self._attempt.start()

    def _opened(self, attempt: _Attempt) -> None:
        self._attempt = None
        if attempt.error:
            self._fail(errors.opening(attempt.error, attempt.broker))
            return
        if attempt.client.socket() is None:
            # The connection ended while CONNECT was written: TLS 1.3 lets a broker refuse a
            # client's certificate that late.
            self._ended_in_greeting()
            return
        self._client = attempt.client
        self._peer = self._socket
        self.state = State.GREETING
        self._due = self._clock() + GREETING_LIMIT

    def _accepted(self) -> None:
        self.state = State.ONLINE
        self._heard = self._spoke = self._online_since = self.last_heard = self._clock()
        self._complaints.clear()
        self.trouble = ""
        self._alarm.ring()
        broker = self._broker
        more = "".join(f", {text}" for text in self.limits.words)
        self._log.info(
            "Connected to %s (MQTT %s%s%s)",
            broker,
            self.protocol,
            ", TLS" if broker.tls else "",
            f"; it takes {more[2:]}" if more else "",
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
            self.returned = True
            self._counts.reconnects += 1
            self._log.log(level, "Lost the connection to %s: %s", broker, reason)
            if self._clock() - self._online_since >= GOOD_AFTER:
                self._failures = self._next = 0
            else:
                # It lets clients in and does not serve them, as a node of a cluster may.
                self._next %= len(self._brokers)
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
        self._watch_no_more()
        if sock := client.socket():
            sock.close()
        self._publishing.clear()
        self._subscribing.clear()
        self._suback_due = self._resubscribe_due = math.inf
        self._resubscribe_pause = RESUBSCRIBE_FIRST
        self._resubscribe.clear()
        self._too_large.clear()
        self._largest = ("", -1)
        self._unsent = 0.0
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

    @property
    def _keepalive(self) -> float:
        """Seconds of silence that are agreed: the broker has the last word."""
        return self.limits.keepalive or self._broker.keepalive

    def _silence_ends(self) -> float:
        """Return when paho wants to probe the connection, or to give it up."""
        return min(self._heard, self._spoke) + self._keepalive

    def _check_silence(self, now: float) -> None:
        client = self._client
        if client is None or now < self._silence_ends():
            return
        if not self._is_sending():
            self._run(client.loop_misc)  # sends PINGREQ; closes when the last one was not answered
        self._heard = self._spoke = now

    def _is_sending(self) -> bool:
        """Tell whether what was published is on its way: its end is what the broker answers to.

        On a slow line one announce takes longer than two keep-alives.
        """
        sock = self._socket
        left = system_socket.unsent(sock.fileno()) if sock else 0
        going, self._unsent = 0 < left < self._unsent, left
        return going

    # --- What paho tells -----------------------------------------------------------------

    def _make_client(self, broker: Broker, terms: _Terms) -> Client:
        five = terms.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id or self._draw_client_id(),
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            transport=broker.transport,
            reconnect_on_failure=False,
        )
        client.connect_timeout = TCP_LIMIT
        # paho's own Host header has no brackets around IPv6 addresses, which proxies refuse.
        client.ws_set_options(broker.websocket_path, {"Host": broker.authority})
        if broker.username:
            client.username_pw_set(broker.username, broker.password.reveal() or None)
        if broker.tls:
            # Read anew for every connection: certificates are renewed while the agent runs.
            client.tls_set_context(tls.context(broker.tls))
        if self.will:
            will = self.will()
            qos, retain = min(will.qos, terms.will_qos), will.retain and terms.will_retain
            client.will_set(will.topic, will.payload, qos, retain)
        client.max_inflight_messages = terms.inflight
        client.on_connect = self._later(lambda _flags, code, told: self._answered(code, told))
        client.on_disconnect = self._later(lambda flags, code, _p: self._ended(flags, code))
        client.on_message = self._later(self._heard_message)
        client.on_publish = self._later(lambda mid, code, _p: self._published(mid, code))
        client.on_subscribe = self._later(lambda mid, codes, _p: self._subscribed(mid, codes))
        client.on_log = self._on_log
        client.on_socket_close = self._closes
        self._refusal = self._paho_error = ""
        self._humbler = None
        return client

    def _draw_client_id(self) -> str:
        """Return the client id for the next connection.

        A cluster of RabbitMQ that hears an id again deletes what was subscribed to under it, now
        and then the new connection's too; one whose node is down lets that id in nowhere else.
        """
        if self._one_client_id:
            return self._client_id
        self._clients += 1
        return f"{self._client_id}-{self._clients}"

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
            _LOGGER.debug("paho failed with %s", self._broker, exc_info=True)
            self._fail(f"the broker sent what is not MQTT ({type(error).__name__})")
        while self._told:
            client, handle = self._told.popleft()
            if client is self._client:
                handle()
        self._look_around()

    def _answered(self, code: ReasonCode, properties: Properties | None) -> None:
        if code.is_failure:
            self._humbler = self._terms.without(code.getName())
            self._refusal = errors.refusal(code, self._broker, self.protocol)
            return
        self.limits = Limits.of(properties)
        if self.limits.inflight < self._terms.inflight:
            # paho takes this only before it connects. Ended in an orderly way, since the broker
            # has the will.
            self._humbler = self._terms._replace(inflight=self.limits.inflight)
            if self._client:
                self._client.disconnect()
            return
        self._accepted()

    def _ended(self, flags: DisconnectFlags, code: ReasonCode) -> None:
        greeting = self.state is State.GREETING
        if self._humbler:
            self._ask_for_less()
        elif self._refusal:
            self._fail(self._refusal)
        elif flags.is_disconnect_packet_from_server:
            self._fail(errors.disconnect(code, self._largest))
        elif code.getName() == "Keep alive timeout":
            self._fail(f"silent for {2 * self._keepalive} s")
        elif greeting and self.protocol != "5" and code.getName() == "Protocol error":
            # paho's word for the answer that this version is not spoken.
            self._fail(errors.wrong_version(self._broker, self.protocol))
        elif greeting:
            self._ended_in_greeting()
        elif self._clock() - self._online_since < GOOD_AFTER:
            largest = self._largest if self._publishing else None
            unconfirmed = self._publishing.values()
            unanswered = [topic for topics in self._subscribing.values() for topic in topics]
            unheard = [*unanswered, *sorted(self._resubscribe)]
            client_id = self._broker.client_id
            self._fail(errors.lost(self._paho_error, largest, unconfirmed, unheard, client_id))
        else:
            self._fail(errors.lost(self._paho_error))

    def _ended_in_greeting(self) -> None:
        """The connection ended before the broker said anything that is MQTT."""
        reason = errors.closing(self._broker, self._paho_error, self.protocol)
        if self._peer and (foreign := self._foreign_words(self._peer)):
            self._fail(peer.explain(foreign, self._broker))
        elif self.protocol == "5" and not tls.explain_alert(self._paho_error):
            # Brokers of before MQTT 5 may say so, or hang up.
            self._humbler = self._terms._replace(protocol="3.1.1")
            self._ask_for_less()
        else:
            self._fail(reason)

    def _ask_for_less(self) -> None:
        """Connect once more to the same broker, at once, and ask for what it may accept."""
        terms, self._humbler = self._humbler, None
        assert terms
        self._log.debug("%s refused %s: asking for %s", self._broker, self._terms, terms)
        self._let_go()
        self._connect(self._broker, terms)
        self._alarm.ring()

    def _heard_message(self, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if self.receiver:
            self.receiver(topic, bytes(message.payload), retained=message.retain)

    def _published(self, mid: int, code: ReasonCode) -> None:
        # paho also tells of messages at QoS 0, when they are written.
        if (topic := self._publishing.pop(mid, None)) is None:
            return
        if not code.is_failure:
            if self.unwritable.pop(topic, None):
                self._log.info("%s takes messages on %s again", self._broker, topic)
            return
        reason = errors.denial(code)
        if topic not in self.unwritable:
            self._log.warning("%s refused a message on %s: %s", self._broker, topic, reason)
        self.unwritable[topic] = reason

    def _subscribed(self, mid: int, codes: Sequence[ReasonCode]) -> None:
        topics = self._subscribing.pop(mid, [])
        if not self._subscribing:
            self._suback_due = math.inf
        # One for each topic, or the broker has left some out.
        refused = dict.fromkeys(topics[len(codes) :], "no answer")
        for topic, code in zip(topics, codes, strict=False):
            if code.is_failure:
                refused[topic] = errors.denial(code)
            elif self.unreadable.pop(topic, None):
                self._log.info("%s delivers %s now", self._broker, topic)
        self._not_subscribed(refused)

    def _not_subscribed(self, refused: Mapping[str, str]) -> None:
        """Say what is not heard, once for each reason, and plan to subscribe to it again."""
        news = [
            f"{topic} ({why})"
            for topic, why in refused.items()
            if self.unreadable.get(topic) != why
        ]
        self.unreadable |= refused
        if news:
            self._log.warning(
                "%s does not deliver %s. What is said there is not heard; subscribing is tried "
                "again",
                self._broker,
                ", ".join(news),
            )
        self._resubscribe.update(refused)
        if refused and math.isinf(self._resubscribe_due):
            self._resubscribe_due = self._clock() + self._resubscribe_pause
            self._resubscribe_pause = min(2 * self._resubscribe_pause, RESUBSCRIBE_MOST)
            self._alarm.ring()

    def _check_subscriptions(self, now: float) -> None:
        if now >= self._suback_due:
            silent = [topic for topics in self._subscribing.values() for topic in topics]
            self._subscribing.clear()
            self._suback_due = math.inf
            self._not_subscribed(dict.fromkeys(silent, "no answer"))
        if now >= self._resubscribe_due:
            self._resubscribe_due = math.inf
            again = sorted(self._resubscribe)
            self._resubscribe.clear()
            self._subscribe(again)

    def _on_log(self, client: Client, _data: object, level: int, text: str) -> None:
        connecting = self._attempt.client if self._attempt else None
        if level == MQTT_LOG_ERR and client in {self._client, connecting}:
            self._paho_error = text


def _decrypted(sock: SocketLike) -> int:
    """Return how many bytes TLS has decrypted that nothing has read."""
    pending: Callable[[], int] | None = getattr(sock, "pending", None)
    return pending() if pending else 0


def _silence(client: Client) -> None:
    client.on_disconnect = client.on_message = client.on_publish = client.on_log = None
