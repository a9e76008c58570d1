"""The frequency settings of the processor: the agent reads them, root sets them for the agent.

This file is a program too. systemd starts it as root, without a capability and in a sandbox that
can write to these settings alone (`service/unit.py`): `serve` sets what the agent asks for on a
socket, `restore` puts back what was found before that. So it is one file, of Python's standard
library only, and imports nothing of the agent's.

A request is one line: `governor powersave`, `energy_preference power`, `maximum_frequency 2400000`
(kHz), `boost 0`, or `restore`. The answer is `ok`, or one line that says why not.

Sources: Documentation/admin-guide/pm/cpufreq.rst, intel_pstate.rst and amd-pstate.rst;
sd_listen_fds(3); unix(7).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
import errno
import json
import math
import os
import re
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

USER = "pilot-agent"
SOCKET = "run/pilot-agent-processor.sock"
STATE_FOLDER = "run/pilot-agent-processor"
STATE = f"{STATE_FOLDER}/found.json"
"""What was found before anything was set, and what was set, by the files of `_is_known()`."""

FOLDER = "sys/devices/system/cpu/cpufreq"
INTEL_FOLDER = "sys/devices/system/cpu/intel_pstate"

GOVERNOR, ENERGY_PREFERENCE = "governor", "energy_preference"
MINIMUM, MAXIMUM, BOOST = "minimum_frequency", "maximum_frequency", "boost"
SETTINGS = (GOVERNOR, ENERGY_PREFERENCE, MINIMUM, MAXIMUM, BOOST)

_CHOICES = {
    GOVERNOR: ("scaling_governor", "scaling_available_governors"),
    ENERGY_PREFERENCE: (
        "energy_performance_preference",
        "energy_performance_available_preferences",
    ),
}
_FREQUENCIES = {MINIMUM: "scaling_min_freq", MAXIMUM: "scaling_max_freq"}
_GLOBAL_BOOST = f"{FOLDER}/boost"
_NO_TURBO = f"{INTEL_FOLDER}/no_turbo"

# The order in which files are put back: the boost moves the range of the frequencies, and some
# drivers take an energy preference only after the governor.
_RESTORED = ("boost", "no_turbo", "scaling_governor", "energy_performance_preference")
_POLICY_FILES = (
    "boost", "scaling_governor", "energy_performance_preference", *_FREQUENCIES.values()
)  # fmt: skip
_KNOWN = re.compile(
    rf"{FOLDER}/policy[0-9]{{1,5}}/(?:{'|'.join(_POLICY_FILES)})|{_GLOBAL_BOOST}|{_NO_TURBO}"
)

# Where no table says otherwise, drivers change the clock by that of the bus or less, in kHz.
_BUS_CLOCK = 100_000

_LONGEST_REQUEST = 64
_REQUEST = re.compile(
    rb"(?P<restore>restore)"
    rb"|(?P<choice>governor|energy_preference) (?P<word>[a-z][a-z0-9_-]{0,31})"
    rb"|(?P<frequency>minimum_frequency|maximum_frequency) (?P<khz>[1-9][0-9]{0,8})"
    rb"|boost (?P<boost>[01])"
)
# A client has this long for its line; the next one waits.
_REQUEST_LIMIT = 2.0
# Without a request for this long it ends; systemd starts it again for the next one.
_IDLE_LIMIT = 10.0
# Since Linux 5.4 limits are moved by a worker of the kernel's, after the write has returned.
_SETTLES = 1.0
_LOOK_AGAIN = 0.01
_CREDENTIALS = struct.Struct("3i")
_FIRST_DESCRIPTOR = 3


class RefusedError(Exception):
    """It cannot be set, or was not; the text says why, and what to do."""


class Range(NamedTuple):
    """Frequencies in kHz that can be chosen, and by how much it is sensibly changed."""

    lowest: int
    highest: int
    step: int


class Request(NamedTuple):
    """What the agent asks for.

    Attributes:
        name: One of `SETTINGS`; empty to put back what was found.
        value: A word, kHz, or whether it is to be on.
    """

    name: str
    value: str | int | bool = ""


def parse_request(line: bytes) -> Request:
    """Read a request.

    Raises:
        RefusedError: It is none.
    """
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise RefusedError("this is no request")
    if found["restore"]:
        return Request("")
    if found["choice"]:
        return Request(found["choice"].decode(), found["word"].decode())
    if found["frequency"]:
        return Request(found["frequency"].decode(), int(found["khz"]))
    return Request(BOOST, found["boost"] == b"1")


class Tree:
    """The kernel's files below a root."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")

    def text(self, path: str) -> str | None:
        """Read a file; `None` where it is not there or its driver answers with an error."""
        try:
            with open(f"{self.root}/{path}", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                return file.read(4096).strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Read a file that holds one whole number."""
        text = self.text(path)
        return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else None

    def write(self, path: str, text: str) -> None:
        """Write a setting.

        Raises:
            OSError: The kernel, or the driver, does not take it.
        """
        file = os.open(f"{self.root}/{path}", os.O_WRONLY | os.O_TRUNC | _NO_LINKS)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)

    def policies(self) -> list[str]:
        """List the groups of cores that share a clock and are switched on."""
        try:
            names = os.listdir(f"{self.root}/{FOLDER}")  # noqa: PTH208 - names, not paths
        except OSError:
            return []
        numbered = sorted(
            int(name[6:]) for name in names if re.fullmatch(r"policy[0-9]{1,5}", name)
        )
        found = [f"{FOLDER}/policy{number}" for number in numbered]
        return [policy for policy in found if self.text(f"{policy}/affected_cpus")]


class Policy:
    """A group of cores that share a clock.

    Args:
        tree: The files.
        path: Its folder.
    """

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self.path = path
        bounds = [tree.number(f"{path}/cpuinfo_{end}_freq") for end in ("min", "max")]
        lowest, highest = (bound or 0 for bound in bounds)
        listed = f"{tree.text(f'{path}/scaling_available_frequencies') or ''} " + (
            tree.text(f"{path}/scaling_boost_frequencies") or ""
        )
        self.table = sorted(
            int(word)
            for word in set(listed.split())
            if re.fullmatch(r"[0-9]{1,9}", word) and lowest <= int(word) <= highest
        )
        self.lowest = self.table[0] if self.table else lowest
        self.highest = self.table[-1] if self.table else highest

    @property
    def has_range(self) -> bool:
        """Whether it has frequencies to choose from."""
        return 0 < self.lowest < self.highest

    def fit(self, name: str, khz: int) -> int:
        """Return the frequency of this group that comes closest without crossing the limit."""
        khz = min(max(khz, self.lowest), self.highest)
        if name == MAXIMUM:
            return max((one for one in self.table if one <= khz), default=khz)
        return min((one for one in self.table if one >= khz), default=khz)

    def differences(self) -> Iterator[int]:
        """Yield what the step has to divide."""
        yield self.highest - self.lowest
        if self.table:
            yield from (after - before for before, after in zip(self.table, self.table[1:]))  # noqa: B905
        else:
            yield _BUS_CLOCK


class Setting(NamedTuple):
    """One setting as it is.

    Attributes:
        value: A word, kHz, or whether it is on; `None` where it cannot be said.
        options: What can be chosen.
        range: The frequencies that can be chosen.
        trouble: Why its value cannot be said.
    """

    value: str | int | bool | None
    options: tuple[str, ...] = ()
    range: Range | None = None
    trouble: str = ""


class Frequencies:
    """The frequency settings of a machine.

    Args:
        tree: The files.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    @property
    def driver(self) -> str:
        """What the kernel drives the clock with; empty where nothing does."""
        policies = self._tree.policies()
        return (policies and self._tree.text(f"{policies[0]}/scaling_driver")) or ""

    def read(self) -> dict[str, Setting]:
        """Read every setting that this processor has."""
        policies = [Policy(self._tree, path) for path in self._tree.policies()]
        found = {name: self._choice(name, policies) for name in _CHOICES}
        found.update((name, self._frequency(name, policies)) for name in _FREQUENCIES)
        found[BOOST] = self._boost()
        return {name: setting for name, setting in found.items() if setting is not None}

    def _choice(self, name: str, policies: list[Policy]) -> Setting | None:
        file, available = _CHOICES[name]
        listed = [(self._tree.text(f"{one.path}/{available}") or "").split() for one in policies]
        options = tuple(
            word
            for word in (listed[0] if listed else ())
            if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", word) and all(word in one for one in listed)
        )
        if not options:
            return None
        values = [self._tree.text(f"{one.path}/{file}") or "" for one in policies]
        if len(set(values)) > 1:
            told = ", ".join(f"{values.count(one)} {one or '?'}" for one in sorted(set(values)))
            return Setting(None, options, trouble=f"groups of cores differ: {told}")
        if values[0] not in options:
            return Setting(None, options, trouble=f"it is {values[0] or 'not readable'}")
        return Setting(values[0], options)

    def _frequency(self, name: str, policies: list[Policy]) -> Setting | None:
        within = self._range(name, policies)
        if within is None:
            return None
        numbers = [self._tree.number(f"{one.path}/{_FREQUENCIES[name]}") for one in policies]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers):
            return Setting(None, range=within, trouble="it is not readable")
        return Setting(min(known) if name == MINIMUM else max(known), range=within)

    def _range(self, name: str, policies: list[Policy]) -> Range | None:
        """Return what all groups of cores can have, so that what is chosen is what is read."""
        if not policies or not all(one.has_range for one in policies):
            return None
        ends = [(one.lowest, one.highest) for one in policies]
        if name == MINIMUM:
            lowest, highest = (min(end) for end in zip(*ends))  # noqa: B905
        else:
            lowest, highest = (max(end) for end in zip(*ends))  # noqa: B905
        step = math.gcd(*(step for one in policies for step in one.differences()))
        return Range(lowest, highest, math.gcd(step, highest - lowest))

    def _boost(self) -> Setting | None:
        values = {self._tree.text(path) for path in self._boost_files()}
        if not values or not values <= {"0", "1"}:
            return None
        if len(values) > 1:
            return Setting(None, trouble="groups of cores differ")
        return Setting((values == {"1"}) is not self._inverted)

    def _boost_files(self) -> list[str]:
        for path in (_NO_TURBO, _GLOBAL_BOOST):
            if self._tree.text(path) is not None:
                return [path]
        paths = [f"{policy}/boost" for policy in self._tree.policies()]
        return [path for path in paths if self._tree.text(path) is not None]

    @property
    def _inverted(self) -> bool:
        """Whether the file says what is off."""
        return self._boost_files() == [_NO_TURBO]

    # --- As root -------------------------------------------------------------------------

    def changes(self, name: str, value: str | int | bool) -> list[tuple[str, str]]:
        """Return what has to be written to which file, in this order.

        Raises:
            RefusedError: This processor does not have it, or not this value.
        """
        setting = self.read().get(name)
        if setting is None:
            raise RefusedError(f"this processor has no {_words(name)} that can be set")
        if name in _CHOICES:
            if value not in setting.options:
                told = ", ".join(setting.options)
                raise RefusedError(f"the {_words(name)} {value} is none of {told}")
            file = _CHOICES[name][0]
            return [(f"{path}/{file}", str(value)) for path in self._tree.policies()]
        if name == BOOST:
            text = "1" if bool(value) is not self._inverted else "0"
            return [(path, text) for path in self._boost_files()]
        khz, within = int(value), setting.range
        if within is None or not within.lowest <= khz <= within.highest:
            told = f"{within.lowest} to {within.highest} kHz" if within else "any range"
            raise RefusedError(f"the {_words(name)} {khz} kHz is not within {told}")
        return [
            change
            for path in self._tree.policies()
            for change in self._move(name, Policy(self._tree, path), khz)
        ]

    def _move(self, name: str, policy: Policy, khz: int) -> list[tuple[str, str]]:
        """Set an end of a group's range; the other end makes way, and does so first."""
        wanted = policy.fit(name, khz)
        other = MINIMUM if name == MAXIMUM else MAXIMUM
        changed = (f"{policy.path}/{_FREQUENCIES[name]}", str(wanted))
        now = self._tree.number(f"{policy.path}/{_FREQUENCIES[other]}")
        if now is None or (now <= wanted if name == MAXIMUM else now >= wanted):
            return [changed]
        return [(f"{policy.path}/{_FREQUENCIES[other]}", str(wanted)), changed]

    def beside(self, name: str) -> list[str]:
        """List the files that a setting changes, those included that a driver changes with it."""
        policies = self._tree.policies()
        ends = [f"{path}/{file}" for path in policies for file in _FREQUENCIES.values()]
        if name in _FREQUENCIES:
            return ends
        if name == BOOST:
            return [*self._boost_files(), *ends]
        files = [_CHOICES[name][0], _CHOICES[ENERGY_PREFERENCE][0]]
        return [f"{path}/{file}" for path in policies for file in dict.fromkeys(files)]

    def explain(self, name: str, path: str, text: str, error: OSError) -> str:
        """Say why a driver did not take a value, and what to do."""
        folder = path.rpartition("/")[0]
        if not folder.startswith(f"{FOLDER}/"):
            folder = next(iter(self._tree.policies()), "")
        driver = self._tree.text(f"{folder}/scaling_driver") or "the driver"
        governor = self._tree.text(f"{folder}/scaling_governor")
        if name == ENERGY_PREFERENCE and error.errno == errno.EBUSY and governor == "performance":
            return (
                f"{driver} takes no energy preference but performance while the governor is "
                "performance; choose another governor first"
            )
        if name == BOOST and error.errno in {errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP}:
            return f"{driver} does not switch the boost: the firmware has it switched off"
        if error.errno in {errno.EPERM, errno.EACCES, errno.EROFS}:
            return f"/{path} cannot be written here ({error.strerror}); a container may not set it"
        if error.errno in {errno.ENODEV, errno.ENXIO, errno.ENOENT}:
            return f"/{path} is gone: its cores were switched off"
        return f"{driver} does not take {text} for the {_words(name)} ({error.strerror})"


class Keeper:
    """Sets what is asked for, and remembers what was found before.

    Args:
        tree: The files.
        patience: Seconds that the kernel may take to do what it has accepted.
    """

    def __init__(self, tree: Tree, patience: float = _SETTLES) -> None:
        self._tree = tree
        self._patience = patience
        self._frequencies = Frequencies(tree)

    def carry_out(self, request: Request) -> None:
        """Do what is asked for, and read it back.

        Raises:
            RefusedError: It was not done; all is as before.
        """
        with self._alone():
            if request.name:
                self._set(request.name, request.value)
            else:
                self._restore()

    def restore(self) -> None:
        """Put back what was found.

        Raises:
            RefusedError: Some of it could not be put back.
        """
        found, _ = load(self._tree)
        if found:
            with self._alone():
                self._restore()

    def _set(self, name: str, value: str | int | bool) -> None:
        changes = self._frequencies.changes(name, value)
        before = {
            path: text
            for path in self._frequencies.beside(name)
            if (text := self._tree.text(path)) is not None
        }
        found, was_set = load(self._tree)
        # A driver moves the energy preference with the governor, and the limits with the boost.
        moved = () if name in _FREQUENCIES else before.keys()
        stays = {path: text for path, text in was_set.items() if path not in moved}
        # What is remembered has to be written before anything is changed.
        self._save({**before, **found}, {**stays, **dict(changes)})
        try:
            self._write(name, changes)
        except RefusedError:
            self._put(before)
            self._save(found, was_set)
            raise

    def _write(self, name: str, changes: list[tuple[str, str]]) -> None:
        for path, text in changes:
            try:
                self._tree.write(path, text)
            except OSError as error:
                raise RefusedError(self._frequencies.explain(name, path, text, error)) from error
        until = time.monotonic() + self._patience
        for path, text in changes:
            while (now := self._tree.text(path)) != text:
                if time.monotonic() >= until:
                    raise RefusedError(
                        f"/{path} is {now} after it was set to {text}: another limit holds (heat, "
                        "the firmware), or another service sets it"
                    )
                time.sleep(_LOOK_AGAIN)

    def _restore(self) -> None:
        found, _ = load(self._tree)
        failed = self._put(found)
        self._save({}, {})
        if failed:
            raise RefusedError(f"not put back: {', '.join(failed)}")

    def _put(self, wanted: Mapping[str, str]) -> list[str]:
        """Write values, as far as there are such files; return what did not work."""
        failed = []
        rest = {path: text for path, text in wanted.items() if self._tree.text(path) is not None}
        for path in sorted(rest, key=_place):
            for one, text in self._in_order(path, rest):
                # A limit may still be moving to what is read now.
                settled = one.rpartition("/")[2] not in _FREQUENCIES.values()
                if settled and self._tree.text(one) == text:
                    continue
                try:
                    self._tree.write(one, text)
                except OSError as error:
                    failed.append(f"/{one} to {text} ({error.strerror})")
        return failed

    def _in_order(self, path: str, wanted: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return what to write for a file: of two ends of a range, the one that makes way first."""
        folder, _, file = path.rpartition("/")
        lowest, highest = (f"{folder}/{one}" for one in _FREQUENCIES.values())
        if file not in _FREQUENCIES.values() or not {lowest, highest} <= wanted.keys():
            return [(path, wanted[path])]
        if path == highest:
            return []
        pair = [(lowest, wanted[lowest]), (highest, wanted[highest])]
        now = self._tree.number(highest)
        # Up: the highest first.
        return pair if now is not None and int(wanted[lowest]) <= now else pair[::-1]

    # --- What was found ------------------------------------------------------------------

    def _save(self, found: Mapping[str, str], was_set: Mapping[str, str]) -> None:
        path = f"{self._tree.root}/{STATE}"
        try:
            if not found:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 - this file has no Path
                return
            with open(f"{path}.new", "w", encoding="ascii") as file:  # noqa: PTH123
                json.dump({"found": dict(found), "set": dict(was_set)}, file)
            os.replace(f"{path}.new", path)  # noqa: PTH105
        except OSError as error:
            raise RefusedError(f"/{STATE} cannot be written: {error.strerror}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep two processes from working at once."""
        try:
            lock = os.open(f"{self._tree.root}/{STATE_FOLDER}", os.O_RDONLY)
        except OSError as error:
            raise RefusedError(f"/{STATE_FOLDER} is missing: {error.strerror}") from error
        try:
            _lock(lock)
            yield
        finally:
            os.close(lock)


def load(tree: Tree) -> tuple[dict[str, str], dict[str, str]]:
    """Return what was found first, and what was set, by file; empty where nothing was set."""
    try:
        with open(f"{tree.root}/{STATE}", encoding="ascii") as file:  # noqa: PTH123
            kept = json.load(file)
        parts = [
            {path: text for path, text in kept[part].items() if _is_known(path, text)}
            for part in ("found", "set")
        ]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}, {}
    return parts[0], parts[1]


def _is_known(path: object, text: object) -> bool:
    return (
        isinstance(path, str)
        and isinstance(text, str)
        and _KNOWN.fullmatch(path) is not None
        and re.fullmatch(r"[a-z0-9_-]{1,32}", text) is not None
    )


def overwritten(tree: Tree) -> dict[str, tuple[str, str]]:
    """Return what is not as it was set, by file: the value that was set, and the present one."""
    _, was_set = load(tree)
    now = {path: tree.text(path) for path in was_set}
    return {
        path: (text, now[path] or "")
        for path, text in was_set.items()
        if now[path] not in {text, None}
    }


def _place(path: str) -> tuple[int, str]:
    file = path.rpartition("/")[2]
    return (_RESTORED.index(file) if file in _RESTORED else len(_RESTORED), path)


def _words(name: str) -> str:
    return name.replace("_", " ")


# This module can be imported on other systems, where there is nothing to set.
if sys.platform == "linux":
    import fcntl
    import pwd

    _NO_LINKS = os.O_NOFOLLOW

    def _lock(folder: int) -> None:
        fcntl.flock(folder, fcntl.LOCK_EX)

    def _user_of(client: socket.socket) -> int:
        asked = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(asked)
        return int(uid)

    def _number_of(user: str) -> int:
        return pwd.getpwnam(user).pw_uid

else:
    _NO_LINKS = 0

    def _lock(_: int) -> None:
        """Lock nothing."""

    def _user_of(_: socket.socket) -> int:
        return -1

    def _number_of(user: str) -> int:
        raise KeyError(user)


# --- The program -----------------------------------------------------------------------------


def serve(
    listening: socket.socket,
    admits: Callable[[int], bool],
    carry_out: Callable[[Request], None],
    idle: float = _IDLE_LIMIT,
    limit: float = _REQUEST_LIMIT,
) -> None:
    """Answer one client after the other, until there was none for a while.

    Args:
        listening: The socket.
        admits: Tells whether a user, by number, may ask.
        carry_out: Does what is asked for.
        idle: Seconds without a client after which it ends.
        limit: Seconds that a client has for its line.
    """
    listening.settimeout(idle)
    while True:
        try:
            client, _ = listening.accept()
        except TimeoutError:
            return
        with client, suppress(OSError):
            uid = _user_of(client)
            if not admits(uid):
                print(f"the user {uid} may not ask", file=sys.stderr)
                continue
            try:
                request = parse_request(_receive(client, limit))
                carry_out(request)
                answer = "ok"
            except RefusedError as error:
                answer = str(error)
            print(f"{answer}: {request}" if answer == "ok" else answer, file=sys.stderr)
            client.settimeout(limit)
            client.sendall(f"{answer}\n".encode("ascii", "replace"))


def _receive(client: socket.socket, limit: float) -> bytes:
    """Receive a line.

    Raises:
        RefusedError: It is too long, or does not come.
    """
    until = time.monotonic() + limit
    line = b""
    while not line.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0:
            raise RefusedError("the request took too long")
        client.settimeout(left)
        try:
            more = client.recv(_LONGEST_REQUEST + 1 - len(line))
        except TimeoutError:
            continue
        line += more
        if not more or len(line) > _LONGEST_REQUEST:
            raise RefusedError("this is no request")
    return line[:-1]


def main(arguments: list[str]) -> int:
    """Run as a program."""
    keeper = Keeper(Tree())
    if arguments == ["restore"]:
        try:
            keeper.restore()
        except RefusedError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    started_by = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    if arguments != ["serve"] or started_by != (str(os.getpid()), "1"):
        print("started by systemd alone: serve, on a socket, or restore", file=sys.stderr)
        return 2
    try:
        agent = _number_of(USER)
    except KeyError:
        print(f"there is no user {USER}", file=sys.stderr)
        return 1
    admitted = frozenset({0, agent})
    with socket.socket(fileno=_FIRST_DESCRIPTOR) as listening:
        serve(listening, admitted.__contains__, keeper.carry_out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
