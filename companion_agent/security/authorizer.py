"""From a message on a command's topic to its result: who may, what, and how often."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
import logging
import math
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.announcement import describe_command
from companion_agent.errors import CommandError
from companion_agent.matching import Matcher, SlowPatternError
from companion_agent.models import (
    Argument,
    ChoiceArgument,
    Command,
    DataArgument,
    FreeTextArgument,
    ListArgument,
    Output,
    TextArgument,
)
from companion_agent.protocol.envelope import parse_controller_envelope
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import REASONS, Request, Result, parse_request
from companion_agent.protocol.topics import Separator, split_key_topic
from companion_agent.protocol.validation import (
    FLEET,
    MAX_COMMAND,
    MAX_COMMANDS,
    MAX_KEY,
    UNPRINTABLE,
    is_key,
)
from companion_agent.security.key_store import StoreError
from companion_agent.security.rate_limit import TokenBucket
from companion_agent.security.replay import ReplayWindow, ResultCache
from companion_agent.security.start_counter import HIGHEST_ASKED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.config.policy import Policy
    from companion_agent.models import AnyArgument
    from companion_agent.plugins.base import CommandProvider
    from companion_agent.protocol.announce import Command as AnnouncedCommand
    from companion_agent.protocol.topics import Topics
    from companion_agent.security.audit import AuditLog
    from companion_agent.security.keyring import KeyRing

_LOGGER = logging.getLogger(__name__)

REVOKE = "trust.revoke"
VERIFY = "trust.verify"
_VERIFY_ARGUMENTS = {"above": Argument("", 0, HIGHEST_ASKED, 0)}

# Seconds. The event loop waits for it, where an expression may take long at all.
_MATCH_LIMIT = 0.5

_STRANGERS = {
    "not_paired": "this host is not paired with that Home Assistant",
    "bad_signature": "not signed with the key of the pairing",
}
# What decides over the agent itself, whatever the configuration obeys unsigned.
_SIGNED_ONLY = frozenset({"agent", "config", "trust"})
# Texts in arguments: ASCII from ! to ~.
_PLAIN = re.compile(r"[!-~]*")
_MINUTE = 60.0


class Job(NamedTuple):
    """A request that passed all checks and is now to be carried out.

    Attributes:
        key: The command's key.
        args: Its arguments, checked and complete.
        group: The group that carries it out.
        request: What was asked.
        key_id: The key that signed it.
        name: The name under which its answer is remembered.
        separator: What joins the segments of the key in the topic that it came on, and in that of
            its result.
        state: The reading that it sets; empty when it sets none.
        time_limit: Seconds that it may take; as long as usual when 0.
    """

    key: str
    args: Mapping[str, Any]
    group: CommandProvider
    request: Request
    key_id: str
    name: bytes
    separator: Separator
    state: str = ""
    time_limit: float = 0

    def run(self) -> Output | None:
        """Carry it out, and return what it has printed; for the worker."""
        return self.group.run(self.key, self.args)


class _Heard(NamedTuple):
    """A message as it came."""

    key: str
    separator: Separator
    topic: str
    payload: bytes
    retained: bool


class _Genuine(NamedTuple):
    """A message whose signature was verified."""

    key: str
    request: Request
    key_id: str
    name: bytes
    separator: Separator


class _StrangerError(CommandError):
    """A refusal of what any client that may write to the broker can send."""


class Dispatcher:
    """Takes messages on the command topics and sees to it that each gets its one result.

    Pure apart from what it is given: the loop calls `received()`, has jobs carried out in a
    worker, and calls `finished()`.

    Args:
        ring: The keys.
        topics: The host's topics.
        session: This start of the agent.
        policy: What the configuration allows.
        publish: Publishes text on a topic, at QoS 0 and not retained.
        start: Has a job carried out.
        revoked: Called when a controller revoked its key; the announce has to change.
        missing: Called when a command lacks a permission that may have been given meanwhile.
        audit: The record.
        refusals: Returns how many messages this host has refused, by what and why; those that are
            counted here when left out.
        surpass: Called with the highest number of a start that a controller has accepted.
        clock: Returns the time in seconds since 1970.
        monotonic: Returns seconds that never go back.
    """

    def __init__(
        self,
        *,
        ring: KeyRing,
        topics: Topics,
        session: str,
        policy: Policy,
        publish: Callable[[str, str], None],
        start: Callable[[Job], None],
        revoked: Callable[[], None],
        missing: Callable[[], None],
        audit: AuditLog,
        refusals: Callable[[], Mapping[str, int]] | None = None,
        surpass: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self._topics = topics
        self._session = session
        self._policy = policy
        self._publish = publish
        self._start = start
        self._revoked = revoked
        self._missing = missing
        self._audit = audit
        self._refusals = refusals or self._own_refusals
        self._surpass = surpass
        self._clock = clock
        self._monotonic = monotonic
        self._replay_window = ReplayWindow(session, clock)
        self._results = ResultCache()
        self._commands: dict[str, tuple[Command, CommandProvider]] = {}
        self._begun: dict[str, float] = {}
        self._rates: dict[str, TokenBucket] = {}
        self._stranger_results = TokenBucket(5, 5, monotonic)
        self._unsigned_rate = TokenBucket(1, 10, monotonic)
        self.refused: Counter[str] = Counter()

    # --- What the host can do ------------------------------------------------------------

    def offer(self, found: Mapping[CommandProvider, Sequence[Command]]) -> None:
        """Take what the groups found that this host can do."""
        self._commands = {
            command.key: (command, group)
            for group, commands in found.items()
            for command in commands
            if _belongs_to(group, command)
        }
        if (more := len(self._allowed()) - MAX_COMMANDS) > 0:
            _LOGGER.warning("%d commands are not announced: they are too many", more)

    def announced(self) -> dict[str, AnnouncedCommand]:
        """Describe, for the announce, the commands that may be called, by their keys."""
        # More than a reader takes would cost the host its whole announce.
        allowed = self._allowed()[:MAX_COMMANDS]
        return {command.key: describe_command(command) for command in allowed}

    def _allowed(self) -> list[Command]:
        return [
            command for command, _ in self._commands.values() if self._policy.allows(command.key)
        ]

    # --- What controllers ask ------------------------------------------------------------

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message on the topic of a command.

        Args:
            topic: The topic, in one form or the other; its result goes on the same form.
            payload: What was published.
            retained: Whether the broker had kept it.
        """
        key, separator = split_key_topic(topic)
        if not is_key(key):
            # There is no topic for a result either.
            self._audit.write_stranger("command", "malformed", key=key[:MAX_KEY])
            self.refused["malformed"] += 1
            return
        heard = _Heard(key, separator, topic, payload, retained)
        try:
            genuine = self._verify(heard)
        except _StrangerError as refusal:
            self._refuse_stranger(heard, refusal)
            return
        if self._results.knows(genuine.name):
            if result := self._results.result(genuine.name):
                self._publish(*result)
            return
        try:
            self._replay_window.admit(genuine.key_id, genuine.request)
        except CommandError as refusal:
            # Recorded genuine messages can be replayed for ever.
            self._refuse_replay(genuine, refusal)
            return
        self._results.begin(genuine.name)
        try:
            self._replay_window.check_age(genuine.request)
            self._carry_out(genuine)
        except CommandError as refusal:
            self._answer(genuine, refusal)

    def unsigned(self, key: str, args: Mapping[str, Any], source: str) -> None:
        """Take a request that nothing proves, where the configuration obeys such.

        Args:
            key: The command.
            args: Its arguments, unchecked.
            source: By which way it came, for the record.
        """
        if not self._unsigned_rate.take():
            self.refused["flood"] += 1
            return
        request = Request(secrets.token_hex(8), "", self._session, 0, self._clock(), args)
        genuine = _Genuine(key, request, source, request.id.encode(), Separator.DOT)
        self._results.begin(genuine.name)
        if key.partition(".")[0] in _SIGNED_ONLY:
            self._answer(genuine, CommandError("not_allowed", f"{key} has to be signed"))
            return
        try:
            self._carry_out(genuine)
        except CommandError as refusal:
            self._answer(genuine, refusal)

    @property
    def pressable(self) -> frozenset[str]:
        """The keys of the commands that may be called unsigned, and without an argument."""
        return frozenset(
            command.key
            for command in self._allowed()
            if command.key.partition(".")[0] not in _SIGNED_ONLY
            and all(argument.default is not None for argument in command.args.values())
        )

    def finished(self, job: Job, error: Exception | None, output: Output | None = None) -> None:
        """Take what became of a job: its error, or `None` when it was done, and its output."""
        genuine = _Genuine(job.key, job.request, job.key_id, job.name, job.separator)
        if error is None or isinstance(error, CommandError):
            self._answer(genuine, error, output)
            return
        _LOGGER.error("Command %s failed", job.key, exc_info=error)
        detail = f"{type(error).__name__}: {error}; the agent's log says more"
        self._answer(genuine, CommandError("failed", detail))

    def _verify(self, heard: _Heard) -> _Genuine:
        """Find out who sent a message.

        Raises:
            _StrangerError: It cannot be proved that a paired key signed it.
        """
        if heard.retained:
            raise _StrangerError("retained", "commands must not be retained")
        try:
            envelope = parse_controller_envelope(heard.payload, self._size(heard.key))
            request = parse_request(envelope)
        except ProtocolError as error:
            raise _StrangerError("malformed", str(error)) from None
        if reason := self._ring.refusal(heard.topic, envelope):
            raise _StrangerError(reason, _STRANGERS[reason])
        name = ResultCache.name(heard.topic, envelope.body)
        return _Genuine(heard.key, request, envelope.key_id, name, heard.separator)

    def _carry_out(self, genuine: _Genuine) -> None:
        """Check what a genuine, new request asks for, and begin to do it.

        Raises:
            CommandError: It is refused.
        """
        if genuine.key == REVOKE:
            self._revoke(genuine)
            return
        if genuine.key == VERIFY:
            asked = check_arguments(_VERIFY_ARGUMENTS, genuine.request.args)
            self._record(genuine, None, self._ring.name(genuine.key_id))
            self._send(genuine, *self._result(genuine, None, refused=self._refusals()))
            if start := int(asked["above"]):
                self._surpass(start)
            return
        found = self._commands.get(genuine.key)
        if found is None:
            raise CommandError("unknown_command", f"this host cannot do {genuine.key}")
        command, group = found
        if not self._policy.allows(genuine.key):
            detail = f"the configuration of this host does not allow {genuine.key}"
            raise CommandError("not_allowed", detail)
        args = check_arguments(command.args, genuine.request.args)
        self._check_cooldown(command)
        self._check_rate(command)
        if command.missing:
            self._missing()
            # The whole of it is in the announce; a result has room for what to do, not for a file.
            raise CommandError("not_permitted", command.missing.fix.partition("\n\n")[0])
        self._begun[command.key] = self._monotonic()
        if self._is_rehearsed(genuine.key):
            self._answer(genuine, None)
            return
        self._start(
            Job(
                genuine.key,
                args,
                group,
                genuine.request,
                genuine.key_id,
                genuine.name,
                genuine.separator,
                command.state,
                command.time_limit,
            )
        )

    def _is_rehearsed(self, key: str) -> bool:
        """Tell whether a command is carried out but for the last step."""
        command, _ = self._commands.get(key, (None, None))
        return self._policy.dry_run and not (command and command.reads)

    def _size(self, key: str) -> int:
        """Return how many bytes a message with a command may have."""
        command, _ = self._commands.get(key, (None, None))
        args = command.args.values() if command else ()
        files = [one.longest for one in args if isinstance(one, DataArgument)]
        return MAX_COMMAND + sum(map(_in_base64, files))

    def _check_rate(self, command: Command) -> None:
        if not command.per_minute:
            return
        most = command.per_minute
        rate = self._rates.setdefault(
            command.key, TokenBucket(most / _MINUTE, most, self._monotonic)
        )
        if not rate.take():
            detail = f"{command.key} is accepted {most} times a minute"
            raise CommandError("cooling_down", detail)

    def _check_cooldown(self, command: Command) -> None:
        begun = self._begun.get(command.key)
        if begun is None:
            return
        left = begun + self._policy.cooldown_of(command) - self._monotonic()
        if left > 0:
            raise CommandError("cooling_down", f"possible again in {math.ceil(left)} s")

    def _revoke(self, genuine: _Genuine) -> None:
        """Forget the key of the controller that asks for it; never that of another.

        Raises:
            CommandError: It is refused, or did not work.
        """
        if genuine.key_id == FLEET:
            detail = "paired by the fleet key; remove it from the configuration of this host"
            raise CommandError("not_allowed", detail)
        check_arguments({}, genuine.request.args)
        name = self._ring.name(genuine.key_id)
        # Signed before the key is gone: the controller must be able to verify it.
        result = self._result(genuine, None)
        try:
            self._ring.revoke(genuine.key_id)
        except StoreError as error:
            raise CommandError("failed", str(error)) from error
        self._record(genuine, None, name)
        self._send(genuine, *result)
        self._revoked()

    # --- Results -------------------------------------------------------------------------

    def _answer(
        self, genuine: _Genuine, error: CommandError | None, output: Output | None = None
    ) -> None:
        """Give a request its one result: record it, keep it for repeats, publish it."""
        dry_run = error is None and self._is_rehearsed(genuine.key)
        self._record(genuine, error, self._ring.name(genuine.key_id), dry_run=dry_run)
        self._send(genuine, *self._result(genuine, error, dry_run=dry_run, output=output))

    def _send(self, genuine: _Genuine, topic: str, payload: str) -> None:
        self._results.finish(genuine.name, topic, payload)
        self._publish(topic, payload)

    def _refuse_replay(self, genuine: _Genuine, refusal: CommandError) -> None:
        self.refused[refusal.reason] += 1
        self._audit.write_stranger(
            "command",
            refusal.reason,
            controller=genuine.request.controller,
            name=self._ring.name(genuine.key_id),
            key=genuine.key,
            id=genuine.request.id,
        )
        if self._stranger_results.take():
            last = self._replay_window.last(genuine.key_id, genuine.request.controller)
            counter = last if refusal.reason == "replayed" else None
            self._publish(*self._result(genuine, refusal, counter=counter))

    def _refuse_stranger(self, heard: _Heard, refusal: _StrangerError) -> None:
        self.refused[refusal.reason] += 1
        request = _claimed(heard.payload, self._size(heard.key))
        controller = request.controller if request else ""
        self._audit.write_stranger(
            "command", refusal.reason, claims=controller, key=heard.key, detail=refusal.detail
        )
        if not self._stranger_results.take():
            return
        request = request or Request("", "", "", 0, 0, {})
        genuine = _Genuine(heard.key, request, "", b"", heard.separator)
        self._publish(*self._result(genuine, refusal))

    def _result(
        self,
        genuine: _Genuine,
        error: CommandError | None,
        *,
        dry_run: bool = False,
        counter: int | None = None,
        refused: Mapping[str, int] | None = None,
        output: Output | None = None,
    ) -> tuple[str, str]:
        """Return topic and sealed payload of a result."""
        topic = self._topics.result(genuine.key, genuine.separator)
        status, reason = outcome(error)
        result = Result(
            id=genuine.request.id,
            session=self._session,
            controller=genuine.request.controller,
            status=status,
            reason=reason,
            detail=error.detail if error else "",
            time=self._clock(),
            dry_run=dry_run,
            # Lets a controller whose clock was set back go on above it.
            counter=counter,
            refused=refused,
            output=output.text if output and not output.data else None,
            truncated=output.truncated if output else False,
            data=output.data if output else b"",
            errors=error.fields if error else {},
        )
        return topic, self._ring.seal(topic, result.body())

    def _record(
        self, genuine: _Genuine, error: CommandError | None, name: str, *, dry_run: bool = False
    ) -> None:
        status, reason = outcome(error)
        if status == "rejected":
            self.refused[reason] += 1
        self._audit.write(
            "command",
            controller=genuine.request.controller,
            name=name,
            key_id=genuine.key_id,
            key=genuine.key,
            args=self._recorded(genuine),
            id=genuine.request.id,
            status=status,
            reason=reason,
            detail=error.detail if error else "",
            dry_run=dry_run,
        )

    def _recorded(self, genuine: _Genuine) -> dict[str, Any]:
        """Return arguments without what is shown to users, which is theirs, and without files."""
        command, _ = self._commands.get(genuine.key, (None, None))
        recorded = dict(genuine.request.args)
        for name, argument in command.args.items() if command else ():
            value = recorded.get(name)
            if value and isinstance(argument, FreeTextArgument | DataArgument | ListArgument):
                size = len(value) if isinstance(value, str | list) else 0
                recorded[name] = f"<{argument.unit}, {size}>"
        return recorded

    def _own_refusals(self) -> dict[str, int]:
        return {f"command.{reason}": count for reason, count in self.refused.items()}


def check_arguments(
    expected: Mapping[str, AnyArgument], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Check the arguments of a call and complete them with defaults.

    Raises:
        CommandError: There is one too many, or one has a wrong value (`bad_arguments`).
    """
    for name in given:
        if name not in expected:
            raise CommandError("bad_arguments", f"there is no argument {name}")
    checked: dict[str, Any] = {}
    for name, argument in expected.items():
        value = given.get(name, argument.default)
        if value is None and name not in given:
            raise CommandError("bad_arguments", f"{name} is missing")
        match argument:
            case TextArgument():
                checked[name] = _check_text(name, argument, value)
            case ChoiceArgument():
                checked[name] = _check_choice(name, argument, value)
            case FreeTextArgument():
                checked[name] = _check_free_text(name, argument, value)
            case DataArgument():
                checked[name] = _check_data(name, argument, value)
            case ListArgument():
                checked[name] = _check_list(name, argument, value)
            case Argument():
                checked[name] = _check_number(name, argument, value)
    return checked


def _belongs_to(group: CommandProvider, command: object) -> bool:
    """Tell whether a command is the plug-in's own: none may stand in for another's."""
    if isinstance(command, Command) and command.key.startswith(f"{group.name}."):
        return True
    _LOGGER.warning("%s: %r is not a command of its own and is left out", group.name, command)
    return False


def _check_choice(name: str, argument: ChoiceArgument, value: object) -> str:
    if not isinstance(value, str) or value not in argument.options:
        options = ", ".join(argument.options)
        raise CommandError("bad_arguments", f"{name} is not one of {options}")
    return value


def _check_number(name: str, argument: Argument, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CommandError("bad_arguments", f"{name} is not a number")
    if not argument.minimum <= value <= argument.maximum:
        allowed = f"{argument.minimum:g} to {argument.maximum:g} {argument.unit}"
        raise CommandError("bad_arguments", f"{name} is not {allowed.rstrip()}")
    return value


def _check_free_text(name: str, argument: FreeTextArgument, value: object) -> str:
    if value is None:
        raise CommandError("bad_arguments", f"{name} is missing")
    if not isinstance(value, str) or len(value) > argument.longest:
        detail = f"{name} is not a text of up to {argument.longest} characters"
        raise CommandError("bad_arguments", detail)
    # What breaks a line for some reader does so for all.
    lines = [UNPRINTABLE.sub("", line) for line in value.replace("\t", " ").splitlines()]
    return ("\n" if argument.lines else " ").join(lines)


def _check_data(name: str, argument: DataArgument, value: object) -> str:
    if not isinstance(value, str) or len(value) > _in_base64(argument.longest):
        detail = f"{name} is not a file of up to {argument.longest} bytes in base64"
        raise CommandError("bad_arguments", detail)
    try:
        b64decode(value, validate=True)
    except ValueError:
        raise CommandError("bad_arguments", f"{name} is not base64") from None
    return value


def _check_list(name: str, argument: ListArgument, value: object) -> list[dict[str, str]]:
    if not isinstance(value, list | tuple) or len(value) > argument.most:
        detail = f"{name} is not a list of up to {argument.most}"
        raise CommandError("bad_arguments", detail)
    checked = []
    for one in value:
        if not isinstance(one, dict) or not one.keys() <= argument.fields.keys():
            detail = f"{name} holds something else than {', '.join(argument.fields)}"
            raise CommandError("bad_arguments", detail)
        checked.append(
            {
                field: _check_free_text(field, rule, one.get(field, rule.default))
                for field, rule in argument.fields.items()
            }
        )
    return checked


def _in_base64(size: int) -> int:
    return (size + 2) // 3 * 4


def _check_text(name: str, argument: TextArgument, value: object) -> str:
    if argument.pattern:
        return _check_pattern(name, argument, value)
    if not isinstance(value, str) or len(value) > argument.longest or not _PLAIN.fullmatch(value):
        detail = f"{name} is not a text of up to {argument.longest} letters and signs"
        raise CommandError("bad_arguments", detail)
    return value


def _check_pattern(name: str, argument: TextArgument, value: object) -> str:
    if not isinstance(value, str) or len(value) > argument.longest or not value.isprintable():
        detail = f"{name} is not a text of one line, of up to {argument.longest} characters"
        raise CommandError("bad_arguments", detail)
    if value.startswith("-"):
        raise CommandError("bad_arguments", f"{name} begins with -, as an option does")
    try:
        with Matcher(_MATCH_LIMIT) as matcher:
            fits = matcher.fits(argument.pattern, value)
    except SlowPatternError as error:
        raise CommandError("bad_arguments", f"{name}: {error}") from error
    if not fits:
        raise CommandError("bad_arguments", f"{name} does not match {argument.pattern}")
    return value


def outcome(error: CommandError | None) -> tuple[str, str]:
    """Return status and reason of a result."""
    if error is None:
        return "done", ""
    if error.reason in REASONS:
        return "rejected", error.reason
    return "failed", "failed"


def _claimed(payload: bytes, limit: int) -> Request | None:
    """Read what a message that is refused says of itself, so that its result can be told apart."""
    try:
        return parse_request(parse_controller_envelope(payload, limit))
    except ProtocolError:
        return None
