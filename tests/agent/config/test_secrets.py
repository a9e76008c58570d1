"""Secrets never appear in what is printed, and are exactly what was written."""

from __future__ import annotations

import codecs
from dataclasses import asdict
import json
import logging
from typing import TYPE_CHECKING

from hypothesis import given, strategies as st
import pytest
import yaml

from companion_agent.cli import main
from companion_agent.config import Config, ConfigError, load
from companion_agent.config.broker_address import parse_broker
from companion_agent.config.show import show
from companion_agent.secret import Secret, without_login, without_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "Sup3rS3cret"
FLEET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def read(file: Path) -> Callable[..., Config]:
    def read_it(text: str, **environment: str) -> Config:
        file.write_text(text, "utf-8")
        return load(file, {"STATE_DIRECTORY": "/state", **environment})

    return read_it


@pytest.fixture
def mistakes(read: Callable[..., Config]) -> Callable[..., str]:
    def find(text: str, **environment: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text, **environment)
        return str(caught.value)

    return find


# --- The type ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [SECRET, SECRET.encode()])
def test_a_secret_is_not_in_its_texts(content: str | bytes) -> None:
    secret = Secret(content)

    texts = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", "%s %r" % (secret, secret)]  # noqa: UP031

    assert SECRET not in " ".join(texts)
    assert secret.reveal() == content


def test_a_secret_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("the login is %s", Secret(SECRET))

    assert caplog.messages == ["the login is (hidden)"]


def test_a_secret_cannot_be_written_by_accident() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret(SECRET))
    with pytest.raises(yaml.YAMLError):
        yaml.safe_dump(Secret(SECRET))


def test_a_secret_equals_its_content_only() -> None:
    assert Secret("a") == Secret("a") == "a"
    assert Secret("a") != Secret("b")
    assert Secret("a") != "b"
    assert Secret("a") != 1
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_no_secret_is_in_a_configuration_that_is_printed(read: Callable[..., Config]) -> None:
    config = read(
        f"broker: {{host: a, username: u, password: {SECRET}, tls: {{key_password: {SECRET}}}}}\n"
        f"security: {{fleet_key: {FLEET}}}\n"
    )

    printed = f"{config} {config!r} {asdict(config)} {show(config)}"

    assert SECRET not in printed
    assert FLEET not in printed
    assert "AAEC" not in printed
    assert "\\x01" not in printed


# --- Mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker", "words"),
    [
        (f"mqtt://pilot:{SECRET}@mqtt.local:99999", 'but "mqtt://***@mqtt.local:99999" has a port'),
        (f"mqtt://pilot:{SECRET}@mqtt.local:many", "has a port that is not a number"),
        (
            f"http://pilot:{SECRET}@mqtt.local",
            "begins with http://, but mqtt://, mqtts://, ws:// or wss://",
        ),
        (f"HTTP://pilot:{SECRET}@mqtt.local", "begins with HTTP://"),
        (f"mqtt:/pilot:{SECRET}@mqtt.local", "***@mqtt.local"),
        (f"mqtt://pilot:{SECRET}@", "names no host"),
        (f"mqtt://pilot:{SECRET}", 'but "mqtt://pilot:***" has a port'),
        (f"pilot:{SECRET}", 'but "pilot:***" has a port'),
        (f"mqtt://pilot:a:{SECRET}", "has a port"),
        (f"mqtt://pilot:{SECRET}@mqtt.local/topic", "goes on after the host and port"),
        (f"mqtt://pilot:a/{SECRET}@mqtt.local", "in percent-encoding, a slash as %2F"),
        (f"mqtt://pilot:a#{SECRET}@mqtt.local", "in percent-encoding"),
        (f"mqtt://pilot:a?{SECRET}@mqtt.local", "in percent-encoding"),
        (f"mqtt://pilot:[{SECRET}]@mqtt.local", "is no address"),
        (f"mqtt://pilot:{SECRET}\u2100@mqtt.local", "is no address"),
        (f"mqtt://pilot:{SECRET}%ff@mqtt.local", "whose percent-encoding is not UTF-8"),
        (f"mqtt://pilot:a\t{SECRET}@mqtt.local", "a line feed, a tab or the like"),
        (f"mqtt://pilot:{SECRET}@mqtt local", "no host name has spaces"),
        (f"mqtt://pilot:{SECRET}@mqtt..local", "expected a host name or an address"),
        (f"mqtt://:{SECRET}@mqtt.local", "broker.username: is missing: there is a password"),
        (f"pilot:x://{SECRET}@mqtt.local", "***@mqtt.local"),
        (f"wss://mqtt.local/mqtt?token={SECRET}", 'but "wss://mqtt.local/mqtt?***" goes on'),
    ],
)
def test_a_wrong_broker_is_named_without_its_login(
    mistakes: Callable[..., str], broker: str, words: str
) -> None:
    found = mistakes("", PILOT_BROKER=broker)

    assert "PILOT_BROKER" in found
    assert words in found
    assert SECRET not in found


@pytest.mark.parametrize(
    "text",
    [
        f"broker: {{host: 'pilot:{SECRET}@mqtt.local'}}",
        f"broker: {{host: 'mqtt://pilot:{SECRET}@mqtt.local'}}",
        f"broker: {{host: 'pilot:{SECRET}'}}",
        f"broker: {{host: a, username: u, password: [{SECRET}]}}",
        f"broker: {{host: a, username: u, passwd: {SECRET}}}",
        f"broker: {{host: a, username: u, password:{SECRET}}}",
        f"broker: {{host: a, 'mqtt://u:{SECRET}@b'}}",
        f"broker:\n  host: a\n  password:{SECRET}\n",
        f"broker:\n  host: a\n  password: *{SECRET}\n",
        f"broker:\n  host: a\n  username: u\n  password: &{SECRET}\n",
        f"broker:\n  host: &{SECRET} a\n  password: &{SECRET} b\n",
        f"broker:\n  host: a\n  password: !{SECRET}!x y\n",
        f"broker:\n  host: a\n  password: %{SECRET}\n",
        f"broker:\n  host: a\n  password: @{SECRET}\n",
        f'broker:\n  host: a\n  password: "a\\{SECRET}"\n',
        f"broker:\n  host: a\n  password: a: {SECRET}\n",
        f"broker:\n  host: a\n  password: 'a'{SECRET}'\n",
        f"broker:\n  host: a\n  password: |{SECRET}\n",
        f"broker: a\nsecurity: {FLEET[:-4]}{SECRET}\n",
        f"broker: a\nsecurity: {{fleet_key: {SECRET}}}\n",
        f"broker: a\nupdate: {{source: 'https://anna:{SECRET}@packages.example/'}}\n",
        f"broker: a\nupdate: {{source: 'https://anna:{SECRET}@packages.example:x/'}}\n",
        f"broker: a\nupdate: {{source: 'ftp://anna:{SECRET}@packages.example/'}}\n",
        f"broker: a\ntopic_prefix: 'mqtt://u:{SECRET}@b/#'\n",
    ],
)
def test_no_mistake_in_a_file_shows_a_secret(mistakes: Callable[..., str], text: str) -> None:
    assert SECRET not in mistakes(text)


@given(st.text(st.characters(codec="utf-8"), min_size=8, max_size=20), st.sampled_from(["", ":1"]))
def test_no_password_makes_an_address_that_shows_it(password: str, port: str) -> None:
    text = f"mqtt://pilot:{password}@mqtt.local{port}"

    assert password not in without_port(without_login(text))
    try:
        parse_broker(text)
    except ValueError as error:
        assert password not in str(error)  # noqa: PT017  (both ends are right)


@pytest.mark.parametrize("command", [["run"], ["config", "check"], ["config", "show"], ["id"]])
def test_no_command_prints_it(
    command: list[str],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file.write_text("")
    monkeypatch.setenv("PILOT_CONFIG", str(file))
    monkeypatch.setenv("PILOT_BROKER", f"mqtt://pilot:{SECRET}@mqtt.local:99999")

    assert main(command) == 2

    printed = capsys.readouterr()
    assert "PILOT_BROKER" in printed.err
    assert SECRET not in printed.out + printed.err


def test_settings_that_are_no_yaml_are_not_quoted(tmp_path: Path) -> None:
    writer = pytest.importorskip(
        "companion_agent.cli.setup.writer", reason="setup knows Linux only", exc_type=ImportError
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"security:\n  fleet_key: @{SECRET}\n")

    with pytest.raises(ConfigError, match=r"settings\.yaml:2: has a value that begins") as caught:
        writer.read_settings(settings, None, tmp_path)

    assert SECRET not in str(caught.value)


# --- What a file takes away ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("!secret mqtt_password", "!secret is known to Home Assistant only"),
        ("!Sup3r", "begins with !, and YAML takes that away; put it in quotes"),
        ("!Sup3r more", "begins with !"),
        ("! Sup3r", "begins with !"),
        ("!", "begins with !"),
        ("!!binary Sup3r", "begins with !!"),
        ("!!null Sup3r", "begins with !!"),
        ("&Sup3r", "begins with &, and YAML takes that away; put it in quotes"),
        ("#Sup3r", "begins with #, which is a comment to YAML; put it in quotes"),
        ("*Sup3r", "begins with *; put it in quotes"),
        ("%Sup3r", "begins with %, @ or a backtick; put it in quotes"),
    ],
)
def test_what_yaml_would_take_away_is_a_mistake(
    mistakes: Callable[..., str], file: Path, value: str, words: str
) -> None:
    found = mistakes(f"broker:\n  host: a\n  username: u\n  password: {value}\n")

    assert found.startswith(f"{file}:4: ")
    assert words in found
    assert "Sup3r" not in found


@pytest.mark.parametrize(
    "text",
    [
        "broker: a\nname: !env HOST",
        "broker: !include broker.yaml",
        "broker: !vault {host: a}",
        "broker: a\ncommands: {allow: [!secret x]}",
    ],
)
def test_tags_are_refused_everywhere(mistakes: Callable[..., str], text: str) -> None:
    assert "!" in mistakes(text)


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("'!secret x'", "!secret x"),
        ('"&a"', "&a"),
        ("a!b&c*d#e", "a!b&c*d#e"),
        ("!!str 0123", "0123"),
        ("|\n    line", "line"),
        ("", ""),
        ("  # to be filled in", ""),
    ],
)
def test_a_password_is_what_was_written(
    read: Callable[..., Config], written: str, password: str
) -> None:
    config = read(f"broker:\n  host: a\n  username: u\n  password: {written}\n")

    assert config.brokers[0].password == password


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (codecs.BOM_UTF8 + b"Sup3r\r\n", "Sup3r"),
        (b"Sup3r\n", "Sup3r"),
        (b" Sup3r ", " Sup3r "),
        ("p\u00e4ss".encode(), "p\u00e4ss"),
    ],
)
def test_a_password_file(
    read: Callable[..., Config], tmp_path: Path, content: bytes, password: str
) -> None:
    (tmp_path / "secret").write_bytes(content)

    config = read("broker: {host: a, username: u, password_file: secret}")

    assert config.brokers[0].password == password


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (codecs.BOM_UTF8, "it is empty"),
        (codecs.BOM_UTF8 + b"\r\n", "it is empty"),
        ("Sup3r".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        ("Sup3r".encode("utf-16-le"), "it holds a zero byte"),
        (b"Sup3r\xff", "it is not UTF-8"),
        (b"x" * 70_000, "it is larger than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_password(
    mistakes: Callable[..., str], tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "secret").write_bytes(content)

    found = mistakes("broker: {host: a, username: u, password_file: secret}")

    assert words in found
    assert "Sup3r" not in found


def test_credentials_with_a_byte_order_mark(read: Callable[..., Config], tmp_path: Path) -> None:
    for name in ("broker.password", "security.fleet_key"):
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + FLEET.encode())

    config = read("broker: {host: a, username: u}", CREDENTIALS_DIRECTORY=str(tmp_path))

    assert config.brokers[0].password == FLEET
    assert config.fleet == bytes(range(32))


def test_a_fleet_key_in_place_of_its_file_is_not_shown(mistakes: Callable[..., str]) -> None:
    found = mistakes(f"broker: a\nsecurity: {{fleet_key_file: {FLEET}}}")

    assert "this is the key itself" in found
    assert FLEET not in found
