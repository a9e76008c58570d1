"""The configuration that `setup` writes: only what is new, and nothing that somebody wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
import re
from typing import TYPE_CHECKING, Any

import yaml

from companion_agent.config import Broker, ConfigError, Tls, load

if TYPE_CHECKING:
    from companion_agent.config import Config
    from companion_agent.service.linux import Service

_HEAD = """\
# The Pilot agent on this host. `pilot-agent config check` says whether all is well, and
# docs/configuration.md lists what else can be set here. A change counts from the next start:
# systemctl restart pilot-agent
"""
_PASSWORD = "broker-password"  # noqa: S105  (a file's name)
_DEFAULT = Broker("")


class WriteError(Exception):
    """The configuration cannot be written without harm; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the configuration lies, and who may read it.

    Attributes:
        path: The file.
        owner: Whose the file is; empty for whoever runs this.
        reader: The user of the service, whose its secrets are; empty for whoever runs this.
    """

    path: Path
    owner: str = ""
    reader: str = ""

    @property
    def folder(self) -> PurePosixPath:
        """The file's folder."""
        return PurePosixPath(self.path.parent)


def write(service: Service, place: Place, before: Config | None, broker: Broker, name: str) -> bool:
    """Write what differs.

    Args:
        service: Writes files.
        place: Where to.
        before: The configuration that is there.
        broker: The broker; files that it names outside the folder are copied into it.
        name: What the host is shown as; empty to leave that as it is.

    Returns:
        Whether anything was written.

    Raises:
        WriteError: That would change what somebody wrote.
        ServiceError: It cannot be written.
    """
    count = len(service.changes)
    service.make_folder(
        place.folder, mode=0o750 if place.owner else 0o700, owner=place.owner, group=place.reader
    )
    kept = before.brokers[0] if before else None
    final = _keep_files(service, place, broker, kept)
    blocks: dict[str, Any] = {}
    if final != kept:
        if before and len(before.brokers) > 1:
            raise WriteError(
                f"{place.path} names several brokers, which only a person can put in order; "
                "change it by hand"
            )
        blocks["broker"] = _tree(service, place, final, kept)
    if name and (before is None or before.name != name):
        blocks["name"] = name
    if blocks:
        _write(service, place, before, blocks, final)
    elif before:
        service.put(
            PurePosixPath(place.path),
            place.path.read_bytes(),
            mode=0o640 if place.owner else 0o600,
            owner=place.owner,
            group=place.reader,
        )
    return len(service.changes) > count


def _keep_files(service: Service, place: Place, broker: Broker, kept: Broker | None) -> Broker:
    """Copy certificates and keys to where the service can read them."""
    if broker.tls is None:
        return broker
    tls: Tls = broker.tls
    for key, file, mode in (
        ("ca_cert", "ca.pem", 0o644),
        ("client_cert", "client.pem", 0o644),
        ("client_key", "client.key", 0o600),
    ):
        given: Path | None = getattr(tls, key)
        if given is None or (kept and kept.tls and getattr(kept.tls, key) == given):
            continue
        target = place.folder / file
        try:
            content = given.read_bytes()
        except OSError as error:
            raise WriteError(f"{given} cannot be read: {error.strerror}") from error
        service.put(target, content, mode=mode, owner=place.reader, group=place.reader)
        copied: dict[str, Any] = {key: Path(target)}
        tls = replace(tls, **copied)
    return replace(broker, tls=tls)


def _tree(service: Service, place: Place, broker: Broker, kept: Broker | None) -> dict[str, Any]:
    tree: dict[str, Any] = {"host": broker.host}
    if broker.port != (8883 if broker.tls else 1883):
        tree["port"] = broker.port
    if broker.username:
        tree["username"] = broker.username
    if broker.password:
        service.put(
            place.folder / _PASSWORD,
            f"{broker.password}\n",
            mode=0o600,
            owner=place.reader,
            group=place.reader,
        )
        tree["password_file"] = _PASSWORD
    for key in ("protocol", "keepalive", "client_id"):
        if getattr(broker, key) != getattr(_DEFAULT, key):
            tree[key] = getattr(broker, key)
    if broker.tls:
        tree["tls"] = _tls(broker.tls, place)
    if kept and kept.tls and kept.tls.key_password and broker.tls:
        raise WriteError(
            f"{place.path} holds the password of a client certificate's key, which setup does "
            "not know how to keep; change it by hand"
        )
    return tree


def _tls(tls: Tls, place: Place) -> dict[str, str] | bool:
    paths = {
        "ca_cert": tls.ca_cert,
        "client_cert": tls.client_cert,
        "client_key": tls.client_key,
    }
    return {
        key: path.name if path.parent == place.path.parent else str(path)
        for key, path in paths.items()
        if path
    } or True


def _write(
    service: Service, place: Place, before: Config | None, blocks: dict[str, Any], broker: Broker
) -> None:
    path = PurePosixPath(place.path)
    access: dict[str, Any] = {
        "mode": 0o640 if place.owner else 0o600,
        "owner": place.owner,
        "group": place.reader,
    }
    old = place.path.read_text("utf-8-sig") if before else _HEAD
    new = old
    for key, value in blocks.items():
        new = put_block(new, key, yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True))
    # Read as the agent will read it, before it counts.
    candidate = path.with_name(f".{path.name}.candidate")
    service.put(candidate, new, **access)
    try:
        read = load(Path(candidate), {})
    except ConfigError as error:
        raise WriteError(f"{path} cannot be changed: {error}; change it by hand") from None
    finally:
        Path(candidate).unlink(missing_ok=True)
        service.changes.remove(str(candidate))
    if before:
        expected = replace(before, brokers=(broker,), path=read.path)
        expected = replace(expected, name=blocks.get("name", before.name))
        if read != expected:
            raise WriteError(f"{path} cannot be changed without changing more; do it by hand")
        service.put(path.with_name(f"{path.name}.old"), old, **access)
    service.put(path, new, **access)


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
