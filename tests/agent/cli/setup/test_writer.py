"""The configuration that setup writes, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("setup knows Linux only", allow_module_level=True)

from companion_agent.cli.setup.writer import (
    Place,
    WriteError,
    put_block,
    write,
)
from companion_agent.config import Broker, Tls, load
from companion_agent.secret import Secret
from companion_agent.service.linux import Service

if TYPE_CHECKING:
    from companion_agent.config import Config


class Writer:
    """A configuration in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pilot-agent" / "config.yaml"

    def has(self, text: str) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(text, "utf-8")

    def read(self) -> Config:
        return load(self.path, {})

    def write(self, broker: Broker, name: str = "") -> list[str]:
        service = Service()
        before = self.read() if self.path.exists() else None
        written = write(service, Place(self.path), before, broker, name)
        assert written == bool(service.changes)
        return [Path(change).name for change in service.changes]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def test_secrets_are_apart_and_private(writer: Writer) -> None:
    broker = Broker("mqtt.local", 1884, "pilot", Secret("s3cret"), "3.1.1", keepalive=60)
    assert writer.write(broker, "Office") == ["pilot-agent", "broker-password", "config.yaml"]
    config = writer.read()
    assert config.brokers == (broker,)
    assert config.name == "Office"
    assert "s3cret" not in writer.path.read_text()
    for path in (writer.path, writer.path.with_name("broker-password")):
        assert path.stat().st_mode & 0o777 == 0o600
    assert writer.write(broker, "Office") == []


def test_certificates_are_copied_to_where_the_service_reads_them(
    writer: Writer, tmp_path: Path
) -> None:
    for name in ("my-ca", "my-cert", "my-key"):
        (tmp_path / name).write_text(name)
    tls = Tls(tmp_path / "my-ca", tmp_path / "my-cert", tmp_path / "my-key")
    writer.write(Broker("mqtt.local", 8883, tls=tls))
    folder = writer.path.parent
    copied = Tls(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    assert writer.read().brokers == (Broker("mqtt.local", 8883, tls=copied),)
    assert (folder / "client.key").read_text() == "my-key"
    assert (folder / "client.key").stat().st_mode & 0o777 == 0o600
    assert writer.write(Broker("mqtt.local", 8883, tls=copied)) == []
    assert writer.write(Broker("other.local", 8883, tls=copied)) == [
        "config.yaml.old",
        "config.yaml",
    ]


def test_secrets_that_were_written_before_there_was_a_service_become_its_own(
    writer: Writer,
) -> None:
    broker = Broker("mqtt.local", username="pilot", password=Secret("s3cret"))
    writer.write(broker)
    given = {}

    class Giving(Service):
        def _give(self, place: Path, owner: str, group: str) -> None:
            given[place.name] = owner

    place = Place(writer.path, "root", "pilot-agent")
    assert not write(Giving(), place, writer.read(), broker, "")
    assert given["broker-password"] == "pilot-agent"


def test_the_password_of_a_key_is_apart_too(writer: Writer, tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).touch()
    tls = Tls(None, tmp_path / "cert", tmp_path / "key", Secret("s3cret"))
    writer.write(Broker("mqtt.local", 8883, tls=tls))
    assert "s3cret" not in writer.path.read_text()
    (broker,) = writer.read().brokers
    assert broker.tls
    assert broker.tls.key_password == "s3cret"
    assert writer.write(broker) == []


def test_a_certificate_that_is_not_there(writer: Writer, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot be read"):
        writer.write(Broker("mqtt.local", 8883, tls=Tls(tmp_path / "none.pem")))


@pytest.mark.parametrize(
    "text",
    [
        "broker: mqtt.local\n",
        "broker:\n  host: mqtt.local\n  username: u\n  password: typed here\n",
        "# mine\nbroker: [mqtt.local, other.local]\n",
    ],
)
def test_what_is_right_stays_letter_for_letter(writer: Writer, text: str) -> None:
    writer.has(text)
    assert writer.write(writer.read().brokers[0]) == []
    assert writer.path.read_text() == text


def test_a_new_broker_leaves_the_rest(writer: Writer) -> None:
    old = (
        "# at home\n"
        "name: Office # really\n"
        "broker: # the old one\n"
        "  host: a.local\n"
        "\n"
        "  port: 1884\n"
        "\n"
        "# faster\n"
        "collectors: {cpu: {interval: 5}}\n"
    )
    writer.has(old)
    assert writer.write(Broker("b.local")) == ["config.yaml.old", "config.yaml"]
    assert writer.path.read_text() == (
        "# at home\n"
        "name: Office # really\n"
        "broker:\n"
        "  host: b.local\n"
        "\n"
        "# faster\n"
        "collectors: {cpu: {interval: 5}}\n"
    )
    assert writer.path.with_name("config.yaml.old").read_text() == old


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("broker: [a.local, b.local]\n", "several brokers"),
        ("{broker: a.local, name: Office}\n", "by hand"),
    ],
)
def test_what_only_a_person_can_change_is_left(writer: Writer, text: str, why: str) -> None:
    writer.has(text)
    with pytest.raises(WriteError, match=why):
        writer.write(replace(writer.read().brokers[0], host="c.local"))
    assert writer.path.read_text() == text
    assert not [path for path in writer.path.parent.iterdir() if "candidate" in path.name]


def test_blocks_at_the_end_and_in_lists() -> None:
    assert put_block("a: 1", "b", "b: 2\n") == "a: 1\nb: 2\n"
    assert put_block("", "b", "b: 2\n") == "b: 2\n"
    assert put_block("b:\n- x\n- y\nc: 1\n", "b", "b: 2\n") == "b: 2\nc: 1\n"
