"""The configuration that `setup` and `migrate` write: what is new, and nothing of a person's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
import re
import tempfile
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from companion_agent.config import (
    Broker,
    ConfigError,
    Tls,
    load,
)
from companion_agent.config.loader import find_mistakes
from companion_agent.config.settings import Config, usual_port
from companion_agent.config.show import as_tree
from companion_agent.fields import declared
from companion_agent.protocol.signing import fleet_secret
from companion_agent.values import Leaf, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD = """\
# The Pilot agent on this host. `pilot-agent config check` says whether all is well, and
# docs/configuration.md lists what else can be set here. A change counts from the next start, or
# after: pilot-agent reload
"""
_PASSWORD = "broker-password"  # noqa: S105  (a file's name)
_KEY_PASSWORD = "client-key-password"  # noqa: S105
_FLEET_KEY = "fleet-key"
_CERTIFICATES = {"ca_cert": "ca.pem", "client_cert": "client.pem", "client_key": "client.key"}
_MODES = {
    "ca.pem": 0o644,
    "client.pem": 0o644,
    "client.key": 0o600,
    _PASSWORD: 0o600,
    _KEY_PASSWORD: 0o600,
    _FLEET_KEY: 0o600,
}
# The attribute of a configuration that a key at the top is about.
_FIELDS = {one.key.partition(".")[0]: one.attribute[0] for one in declared(Config)}


class WriteError(Exception):
    """The configuration cannot be written without harm; the text says why and what to do."""


class Files(Protocol):
    """Writes files as a system wants them.

    Attributes:
        check: Whether nothing is written, but only told.
        changes: What was changed, or would be.
    """

    check: bool
    changes: list[str]

    def make_folder(self, path: Path, *, mode: int, owner: str, group: str) -> None:
        """Make a folder.

        Raises:
            ServiceError: That did not work.
        """

    def put(self, path: Path, content: str | bytes, *, mode: int, owner: str, group: str) -> bool:
        """Write a file in one step, unless it is there and the same.

        Args:
            path: The file.
            content: What it shall hold.
            mode: Who may do what with it, where a system has such a thing.
            owner: The user that owns it; the current user when empty.
            group: Its group.

        Returns:
            Whether it was written, or would be.

        Raises:
            ServiceError: That did not work; what was there before still is.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """Where the configuration lies, and who may read it.

    Attributes:
        path: The file.
        owner: The user that owns the file; empty for the current user.
        reader: The service's user, which owns its secrets; empty for the current user.
    """

    path: Path
    owner: str = ""
    reader: str = ""

    @property
    def folder(self) -> Path:
        """The file's folder."""
        return self.path.parent


@dataclass(frozen=True, slots=True)
class File:
    """A file beside the configuration that it names.

    Attributes:
        name: Its name.
        content: What it holds.
        mode: Who may do what with it.
    """

    name: str
    content: bytes = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A configuration that is not written yet.

    Attributes:
        before: The one that is there.
        broker: The broker that it names.
        blocks: Its keys at the top that change.
        old: The text that is there; empty where there is none.
        new: The text that shall be.
        files: What lies beside it.
    """

    before: Config | None
    broker: Broker
    blocks: Mapping[str, Any]
    old: str
    new: str
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """What else the configuration is to say, given as a whole by a deployment tool.

    Attributes:
        blocks: Top-level keys and what is below them; they replace what is there.
        fleet_key: The fleet key, as people write it; empty to leave that as it is.
    """

    blocks: Mapping[str, Any] = field(default_factory=dict)
    fleet_key: str = field(default="", repr=False)


def read_settings(file: Path | None, fleet_key_file: Path | None, base: Path) -> Settings:
    """Read the files that the command line names.

    Args:
        file: The one with more of the configuration.
        fleet_key_file: The one with the fleet key.
        base: The configuration's folder, where the paths in the settings start.

    Raises:
        ValueError: They cannot be used; the text says why.
        ConfigError: The settings have mistakes.
    """
    blocks = _read_blocks(file, base) if file else {}
    if not fleet_key_file:
        return Settings(blocks)
    try:
        key = read_secret(fleet_key_file, pipe=True)
        fleet_secret(key)
    except ValueError as error:
        raise ValueError(f"{fleet_key_file}: {error}") from None
    return Settings(blocks, key)


def _read_blocks(file: Path, base: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    blocks: Any = {}
    lost = False
    try:
        blocks = yaml.safe_load(data.decode("utf-8-sig")) or {}
    except (yaml.YAMLError, ValueError, RecursionError):
        # As long as no mistake says it better.
        lost = True
    if not isinstance(blocks, dict):
        raise ValueError(f"{file} has no keys at its top, such as commands:")  # noqa: TRY004
    if own := [f"--{key}" for key in ("broker", "name") if key in blocks]:
        raise ValueError(f"{file} sets what has an option of its own: {', '.join(own)}")
    # The files that `security` names may come after this; they are looked for when it is written.
    mistakes = [
        mistake
        for mistake in find_mistakes(data, str(file), base)
        if not mistake.key.startswith("security.")
    ]
    if mistakes:
        raise ConfigError(mistakes)
    if lost:
        raise ValueError(
            f"{file} holds a value that YAML makes something else of; put it in quotes"
        )
    return blocks


def write(
    service: Files,
    place: Place,
    before: Config | None,
    broker: Broker,
    name: str,
    settings: Settings | None = None,
) -> bool:
    """Write what differs.

    Args:
        service: Writes files.
        place: Where to.
        before: The configuration that is there.
        broker: The broker; files that it names outside the folder are copied into it.
        name: What the host is shown as; empty to leave that as it is.
        settings: What else it is to say.

    Returns:
        Whether anything was written, or would be.

    Raises:
        WriteError: That would change what was written by hand.
        ServiceError: It cannot be written.
    """
    named = name and (before is None or before.name != name)
    blocks: dict[str, Any] = {"name": name} if named else {}
    files: list[File] = []
    if settings:
        blocks |= _others(place, settings, files)
    drafted = draft(place, before, broker, blocks)
    return put(service, place, replace(drafted, files=(*drafted.files, *files)))


def _others(place: Place, settings: Settings, files: list[File]) -> dict[str, Any]:
    """Return the blocks that differ from what the file says."""
    wanted = dict(settings.blocks)
    if settings.fleet_key:
        kept = _secret(_FLEET_KEY, settings.fleet_key, files)
        wanted["security"] = {**(wanted.get("security") or {}), "fleet_key_file": kept}
    text = place.path.read_text("utf-8-sig") if place.path.exists() else ""
    there = yaml.safe_load(text) or {}
    return {key: value for key, value in wanted.items() if there.get(key) != value}


def draft(place: Place, before: Config | None, broker: Broker, blocks: Mapping[str, Any]) -> Draft:
    """Think of what to write, and write nothing.

    Args:
        place: Where to.
        before: The configuration that is there.
        broker: The broker; files that it names outside the folder are copied into it.
        blocks: Other keys at the top, and what shall be below them.

    Raises:
        WriteError: That would change what was written by hand.
    """
    files: list[File] = []
    kept = before.brokers[0] if before else None
    final = _keep_files(place, broker, kept, files)
    wanted: dict[str, Any] = {}
    if final != kept:
        if before and len(before.brokers) > 1:
            raise WriteError(
                f"{place.path} names several brokers, which only a person can put in order; "
                "change it by hand"
            )
        wanted["broker"] = _tree(place, final, files)
    wanted.update(blocks)
    old = place.path.read_text("utf-8-sig") if before else ""
    new = old or _HEAD
    for key, value in wanted.items():
        new = put_block(new, key, yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True))
    return Draft(before, final, wanted, old, new, tuple(files))


def put(service: Files, place: Place, drafted: Draft) -> bool:
    """Write a draft, as far as it differs from what is there.

    Returns:
        Whether anything was written.

    Raises:
        WriteError: That would change what was written by hand.
        ServiceError: It cannot be written.
    """
    count = len(service.changes)
    service.make_folder(
        place.folder, mode=0o750 if place.owner else 0o700, owner=place.owner, group=place.reader
    )
    for file in (*_lying(place), *drafted.files):
        service.put(
            place.folder / file.name,
            file.content,
            mode=file.mode,
            owner=place.reader,
            group=place.reader,
        )
    access: dict[str, Any] = {
        "mode": 0o640 if place.owner else 0o600,
        "owner": place.owner,
        "group": place.reader,
    }
    path = place.path
    if drafted.new != drafted.old and drafted.blocks:
        # Where nothing is written, the files that it names are not there yet.
        if not service.check:
            _check(service, place, drafted, access)
        if drafted.before and not service.check:
            service.put(path.with_name(f"{path.name}.old"), drafted.old, **access)
        service.put(path, drafted.new, **access)
    elif drafted.before:
        service.put(path, place.path.read_bytes(), **access)
    return len(service.changes) > count


def _lying(place: Place) -> Iterator[File]:
    """Find secrets that were written here before there was a service, which cannot read them."""
    for name, mode in _MODES.items() if place.reader else ():
        path = place.path.with_name(name)
        private = path.is_file() and not path.is_symlink() and not path.stat().st_mode & 0o077
        if private and path.stat().st_uid == path.parent.stat().st_uid:
            yield File(name, path.read_bytes(), mode)


def _keep_files(place: Place, broker: Broker, kept: Broker | None, files: list[File]) -> Broker:
    """Have certificates and keys copied to where the service can read them."""
    if broker.tls is None:
        return broker
    tls: Tls = broker.tls
    for key, name in _CERTIFICATES.items():
        given: Path | None = getattr(tls, key)
        if given is None or (kept and kept.tls and getattr(kept.tls, key) == given):
            continue
        try:
            content = given.read_bytes()
        except OSError as error:
            raise WriteError(f"{given} cannot be read: {error.strerror}") from error
        files.append(File(name, content, _MODES[name]))
        copied: dict[str, Any] = {key: place.path.with_name(name)}
        tls = replace(tls, **copied)
    return replace(broker, tls=tls)


def _tree(place: Place, broker: Broker, files: list[File]) -> dict[str, Any]:
    """Return the keys of a broker that differ from their defaults; secrets become files."""
    port = usual_port(broker.transport, encrypted=bool(broker.tls))
    tree = _changed(broker, Broker(broker.host, port))
    if broker.password:
        tree["password_file"] = _secret(_PASSWORD, broker.password.reveal(), files)
    if broker.tls:
        tree["tls"] = _tls(broker.tls, place, files) or True
    return {"host": broker.host} | tree


def _tls(tls: Tls, place: Place, files: list[File]) -> dict[str, Any]:
    paths = {key: Path(path) for key, path in _changed(tls, Tls()).items()}
    tree = {
        key: path.name if path.parent == place.path.parent else str(path)
        for key, path in paths.items()
    }
    if tls.key_password:
        tree["key_password_file"] = _secret(_KEY_PASSWORD, tls.key_password.reveal(), files)
    return tree


def _changed(section: Broker | Tls, usual: Broker | Tls) -> dict[str, Any]:
    """Return what a file has to say of a section, apart from its secrets and sections."""
    usually = as_tree(usual)
    return {
        one.key: value
        for one in declared(type(section))
        if isinstance(one.setting.kind, Leaf)
        and not one.setting.kind.secret
        and (value := as_tree(section).get(one.key)) != usually.get(one.key)
    }


def _secret(name: str, secret: str, files: list[File]) -> str:
    files.append(File(name, f"{secret}\n".encode(), _MODES[name]))
    return name


def _check(service: Files, place: Place, drafted: Draft, access: dict[str, Any]) -> None:
    """Read a draft as the agent will read it, before it counts.

    Raises:
        WriteError: It does not say what it shall say.
    """
    path = place.path
    candidate = path.with_name(f".{path.name}.candidate")
    service.put(candidate, drafted.new, **access)
    try:
        read = load(candidate, {})
    except ConfigError as error:
        mistakes = str(error).replace(str(candidate), str(path))
        if drafted.before is None:
            raise WriteError(f"{path} cannot be written: {mistakes}") from None
        raise WriteError(f"{path} cannot be changed: {mistakes}; change it by hand") from None
    finally:
        candidate.unlink(missing_ok=True)
        service.changes.remove(str(candidate))
    if drafted.before:
        changed = {_FIELDS.get(key, key) for key in drafted.blocks} - {"brokers"}
        more: dict[str, Any] = {name: getattr(read, name) for name in changed}
        expected = replace(drafted.before, brokers=(drafted.broker,), path=read.path, **more)
        if read != expected or read.name != drafted.blocks.get("name", read.name):
            raise WriteError(f"{path} cannot be changed without changing more; do it by hand")


def foresee(config: Config, settings: Settings) -> Config:
    """Return what a configuration would say with more settings, as far as the service is concerned.

    Raises:
        WriteError: The settings have mistakes.
    """
    # The files of this one are not there yet.
    wanted = {key: value for key, value in settings.blocks.items() if key != "security"}
    with tempfile.TemporaryDirectory(prefix="pilot-agent-") as folder:
        candidate = Path(folder, "settings.yaml")
        candidate.write_text(yaml.safe_dump(wanted, allow_unicode=True), "utf-8")
        try:
            read = load(candidate, {}, needs_broker=False)
        except ConfigError as error:
            raise WriteError(f"the settings have mistakes: {error}") from None
    changed: dict[str, Any] = {
        key: getattr(read, key) for key in ("commands", "collectors") if key in wanted
    }
    return replace(config, **changed)


def put_block(text: str, key: str, block: str) -> str:
    """Put a top-level key with all that is below it into a YAML file's text.

    What else is there stays, letter for letter, comments too.
    """
    lines = text.splitlines(keepends=True)
    begin = next(
        (number for number, line in enumerate(lines) if re.match(rf"[\"']?{key}[\"']?\s*:", line)),
        None,
    )
    if begin is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{block}"
    end = begin + 1
    while end < len(lines) and re.match(r"[ \t\-]|\r?\n", lines[end]):
        end += 1
    # Blank lines and comments before the next key belong to that.
    while end > begin + 1 and not lines[end - 1].strip():
        end -= 1
    return "".join([*lines[:begin], block, *lines[end:]])
