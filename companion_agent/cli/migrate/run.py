"""The conversation: what was read, what becomes of it, the difference, and only then the deed."""

from __future__ import annotations

from dataclasses import dataclass, replace
import difflib
from pathlib import Path
import re
import socket
import sys
from typing import TYPE_CHECKING, Any

import voluptuous as vol

from companion_agent.cli.migrate import carry_over, v1_config
from companion_agent.cli.migrate.record import Archive, RecordError
from companion_agent.cli.setup.linux_host import is_administrator
from companion_agent.cli.setup.prompts import Asker, NotInteractiveError
from companion_agent.cli.setup.writer import (
    Draft,
    File,
    Place,
    WriteError,
    draft,
    put,
)
from companion_agent.config import (
    Broker,
    ConfigError,
    Tls,
    load,
    search_path,
)
from companion_agent.config.document import read_file
from companion_agent.config.errors import Mistake
from companion_agent.config.settings import usual_port
from companion_agent.service import unit
from companion_agent.service.changes import ServiceError, describe
from companion_agent.service.linux import Service
from companion_agent.values import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.cli.migrate.mapping import Found, Outcome
    from companion_agent.config import Config

OK = 0
NOT_WELL = 1
BAD_INPUT = 2

# What stands first in a file is what a person looks for first.
_ORDER = (
    "name",
    "topic_prefix",
    "home_assistant",
    "log",
    "collectors",
    "commands",
    "mirror",
)
_SECRETS = re.compile(r"((?:password|fleet_key)[\"']?\s*:\s*)([^,}\s][^,}\n]*)")
_LOGINS = re.compile(r"(://)[^@/\s]*@")


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """What the command line says.

    Attributes:
        old: The first version's file; `None` where only its service is switched off.
        output: The configuration to write; where it is usual when `None`.
        device: What the host was called in the first version's topics.
        old_service: The first version's service, which is to be switched off.
        dry_run: Whether only to show what would be done.
        yes: Whether to do it without asking.
    """

    old: Path | None = None
    output: Path | None = None
    device: str = ""
    old_service: str = ""
    dry_run: bool = False
    yes: bool = False


def migrate(options: SetupOptions, asker: Asker, service: Service | None = None) -> int:
    """Write a configuration from the first version's file.

    Returns:
        The exit code.
    """
    return _guarded(lambda: _Migration(options, asker, service or Service()).run())


def undo(options: SetupOptions, asker: Asker, service: Service | None = None) -> int:
    """Put back what was there before.

    Returns:
        The exit code.
    """
    return _guarded(lambda: _Migration(options, asker, service or Service()).undo())


def _guarded(act: Callable[[], int]) -> int:
    try:
        code = act()
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return BAD_INPUT
    except (NotInteractiveError, WriteError, ServiceError, RecordError) as error:
        print(f"pilot-agent: {error}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, NotInteractiveError) else NOT_WELL
    except OSError as error:
        print(f"pilot-agent: {error.filename}: {error.strerror}", file=sys.stderr)
        return NOT_WELL
    return code


class _Migration:
    def __init__(self, options: SetupOptions, asker: Asker, service: Service) -> None:
        self._options = options
        self._asker = asker
        self._service = service
        self._place = _place(options.output, service)
        self._archive = Archive(self._place.folder, service)

    def run(self) -> int:
        options = self._options
        service = self._archive.find(options.old_service) if options.old_service else None
        code = self._write(options.old) if options.old else OK
        if code != OK or service is None:
            return code
        if not self._service.active:
            print(
                f"{service.name} stays on until Pilot's own service runs: "
                "`sudo pilot-agent setup`, then "
                f"`sudo pilot-agent migrate --old-service {service.name}`."
            )
            return NOT_WELL
        if options.dry_run:
            print(f"{service.name} would be switched off.")
            return OK
        count = len(self._service.changes)
        self._archive.switch_off(service)
        print(describe(self._service.changes[count:]))
        return OK

    def undo(self) -> int:
        record = self._archive.read()
        for name in record.kept:
            print(f"Is put back: {self._place.folder / name}")
        for name in record.made:
            print(f"Is deleted: {self._place.folder / name}")
        if record.service:
            print(f"Is switched on: {record.service.name}")
        if self._options.dry_run:
            print("Nothing was changed.")
            return OK
        if not self._may("Go back?"):
            print("Nothing was changed.")
            return NOT_WELL
        for path in self._archive.undo():
            print(f"Was changed since, and is kept: {path}")
        print(describe(self._service.changes))
        if self._service.has_systemd and self._service.active:
            print("Pilot's service still runs: `sudo pilot-agent setup --remove` takes it away.")
        return OK

    def _may(self, question: str) -> bool:
        return self._options.yes or self._asker.yes(question, default=True, flag="--yes")

    # --- Writing -------------------------------------------------------------------------

    def _write(self, path: Path) -> int:
        before = load(self._place.path, {}) if self._place.path.exists() else None
        entries = v1_config.read(path)
        if _is_new(path):
            problem = "is a configuration of this version already; there is nothing to migrate"
            raise ConfigError([Mistake(str(path), "", problem)])
        found = carry_over.carry_over(entries, path.absolute().parent, self._options.device)
        device = found.device or self._ask_device(found)
        drafted = self._draft(found, device, before)
        _tell(path, found.outcomes)
        changed = drafted.new != drafted.old or any(self._differs(file) for file in drafted.files)
        if not changed:
            print("Nothing had to be changed.")
            return OK
        self._show(drafted)
        if self._options.dry_run:
            print("Nothing was written.")
            return OK
        if not self._may(f"Write {self._place.path}?"):
            print("Nothing was written.")
            return NOT_WELL
        self._keep(path, drafted)
        try:
            put(self._service, self._place, drafted)
        except (WriteError, ServiceError):
            # Half a migration is none.
            self._archive.undo()
            raise
        print(f"Configuration: {self._place.path}")
        print(f"Copies of what was there: {self._archive.folder} (`pilot-agent migrate --undo`)")
        print(describe(self._service.changes))
        self._say_what_comes_next(path, found)
        return OK

    def _ask_device(self, found: Found) -> str:
        default = socket.gethostname()
        for name in (found.name, default):
            if name and "/" not in name and _is_topic(name):
                default = name
                break
        return self._asker.text(
            f"What was this host called in v1's topics ({found.mirror.get('prefix', 'pilot')}"
            "/<device>/state/…)?",
            default,
            flag="--device",
        )

    def _draft(self, found: Found, device: str, before: Config | None) -> Draft:
        broker = self._broker(found, before)
        found.blocks["mirror"] = {"v1": {"device": device, **found.mirror}}
        if found.name:
            found.blocks["name"] = found.name
        lying = read_file(self._place.path).tree if before else {}
        blocks = {}
        for key in (key for key in _ORDER if key in found.blocks):
            value = found.blocks[key]
            merged = _merge(lying.get(key), value)
            if merged != _as_text(lying.get(key)):
                blocks[key] = merged
        return draft(self._place, before, broker, blocks)

    def _broker(self, found: Found, before: Config | None) -> Broker:
        kept = before.brokers[0] if before else None
        said = dict(found.broker)
        if "host" not in said:
            if kept is None:
                problem = "names no broker; add a line such as MQTT_HOST=mqtt.local"
                raise ConfigError([Mistake(str(self._options.old), "", problem)])
            return replace(kept, **said)
        tls = found.security
        transport = said.get("transport", "tcp")
        said.setdefault("port", usual_port(transport, encrypted=bool(tls)))
        if kept and (kept.host, kept.port) == (said["host"], said["port"]):
            return replace(kept, **said, tls=self._same_files(tls, kept) or kept.tls)
        return Broker(**said, tls=tls)

    def _same_files(self, tls: Tls | None, kept: Broker) -> Tls | None:
        """Prefer the copies that were made of the same files before."""
        if tls is None or kept.tls is None:
            return tls
        for key in ("ca_cert", "client_cert", "client_key"):
            given, there = getattr(tls, key), getattr(kept.tls, key)
            if given and there and given.read_bytes() == there.read_bytes():
                same: dict[str, Any] = {key: there}
                tls = replace(tls, **same)
        return tls

    def _differs(self, file: File) -> bool:
        path = self._place.path.with_name(file.name)
        return not path.exists() or path.read_bytes() != file.content

    def _show(self, drafted: Draft) -> None:
        name = str(self._place.path)
        lines = difflib.unified_diff(
            drafted.old.splitlines(),
            drafted.new.splitlines(),
            name if drafted.old else "/dev/null",
            name,
            lineterm="",
        )
        print()
        for line in lines:
            print(_LOGINS.sub(r"\1(hidden)@", _SECRETS.sub(r"\1(hidden)", line)))
        print()
        for file in drafted.files:
            if self._differs(file):
                print(f"Beside it: {file.name} (mode {file.mode:04o})")

    def _keep(self, path: Path, drafted: Draft) -> None:
        written = {file.name: file.content for file in drafted.files}
        if drafted.new != drafted.old:
            written[self._place.path.name] = drafted.new.encode()
            if drafted.before:
                written[f"{self._place.path.name}.old"] = drafted.old.encode()
        self._service.make_folder(
            self._place.folder,
            mode=0o750 if self._place.owner else 0o700,
            owner=self._place.owner,
            group=self._place.reader,
        )
        self._archive.keep(path, written)

    def _say_what_comes_next(self, path: Path, found: Found) -> None:
        if found.broker.get("password") or found.tls.get("key_password"):
            print(f"{path} still holds the password; delete it when nothing needs it any more.")
        print("Commands on v1's topics are not obeyed: pair this host, `pilot-agent pair`.")
        if self._place.path.parent == Path(unit.CONFIG_FOLDER):
            print("Next: `sudo pilot-agent setup` starts the service, or starts it anew.")
        else:
            print("Next: `pilot-agent doctor`, then `pilot-agent run`.")


def _place(output: Path | None, service: Service) -> Place:
    path = (output or search_path()[0 if is_administrator() else -1]).absolute()
    if is_administrator() and path.parent == Path(unit.CONFIG_FOLDER) and service.has_user:
        return Place(path, "root", unit.USER)
    return Place(path)


def _is_new(path: Path) -> bool:
    try:
        load(path, {})
    except ConfigError:
        return False
    return True


def _is_topic(name: str) -> bool:
    try:
        Topic()(name)
    except vol.Invalid:
        return False
    return True


def _tell(path: Path, outcomes: list[Outcome]) -> None:
    print(f"{path}:")
    width = max((len(outcome.entry.key) for outcome in outcomes), default=0)
    for outcome in outcomes:
        line = outcome.entry.where.rpartition(":")[2]
        became = f"→ {outcome.to}" if outcome.to else "✗ not taken"
        why = f" ({outcome.why})" if outcome.why else ""
        print(f"  {line:>4}  {outcome.entry.key:{width}}  {became}{why}")


def _merge(lying: object, new: object) -> object:
    """Put what is new over what lies there, key by key."""
    if not isinstance(lying, dict) or not isinstance(new, dict):
        return new if _as_text(new) != lying else lying
    merged: dict[str, Any] = dict(lying)
    for key, value in new.items():
        merged[key] = _merge(lying.get(key), value)
    return merged


def _as_text(value: object) -> object:
    """Write values as a file's tree does."""
    if isinstance(value, dict):
        return {key: _as_text(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None else str(value)
