"""Names that no host can have, and users without a home."""

from __future__ import annotations

import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Never

import pytest

from companion_agent.cli import main
from companion_agent.config import ConfigError, load, search_path

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def host_mistake(tmp_path: Path) -> Callable[..., str]:
    path = tmp_path / "config.yaml"

    def find(text: str, **environment: str) -> str:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(path, {"STATE_DIRECTORY": "/state", **environment})
        [mistake] = caught.value.mistakes
        return str(mistake)

    return find


# --- Hosts ---------------------------------------------------------------------------------------

_FOUR = "an IPv4 address has four numbers from 0 to 255, without zeros before them"
_LETTERS = "a name has letters, digits and hyphens, at most 63 between two dots"


@pytest.mark.parametrize(
    ("host", "way_out"),
    [
        ("192.168.1.2:1883", "write `host: 192.168.1.2` and `port: 1883`"),
        ("mqtt.local:1883", "write `host: mqtt.local` and `port: 1883`"),
        ("mqtt://mqtt.local", "belongs into `broker` itself"),
        ("pilot@mqtt.local", "the login belongs into `username` and `password`"),
        ("[2001:db8::7]", "write an IPv6 address without brackets"),
        ("[2001:db8::7]:1883", "write an IPv6 address without brackets"),
        ("2001:db8::zz", "it is no IPv6 address, and no name has a colon"),
        ("mqtt.local:", "no name has a colon"),
        ("192.168.1.256", _FOUR),
        ("192.168.1", _FOUR),
        ("192.168.001.002", _FOUR),
        ("1883", _FOUR),
        ("mqtt.local.", ""),
        ("mqtt..local", _LETTERS),
        (".local", _LETTERS),
        ("-mqtt.local", _LETTERS),
        ("mqtt-.local", _LETTERS),
        ("mqtt,local", _LETTERS),
        ("mqtt.local/", _LETTERS),
        ("192.168.1.0/24", _LETTERS),
        ("*.local", _LETTERS),
        ("a" * 64, _LETTERS),
        (".".join(["a" * 50] * 6), "a name has at most 253 characters"),
        ("mqtt local", "no host name has spaces"),
        ("224.0.0.251", "it is the address of many hosts"),
        ("ff02::fb", "it is the address of many hosts"),
        ("255.255.255.255", "it is the address of many hosts"),
        ("mqtt．local", _LETTERS),  # noqa: RUF001  (as some keyboards write a dot)
    ],
)
def test_a_name_that_no_host_can_have(
    host_mistake: Callable[..., str], tmp_path: Path, host: str, way_out: str
) -> None:
    if not way_out:
        (tmp_path / "good.yaml").write_text(f"broker: {{host: {host}}}")
        assert load(tmp_path / "good.yaml", {}).brokers[0].host == host
        return

    found = host_mistake(f"broker:\n  host: '{host}'\n")

    assert ":2: broker.host: expected a host name or an address" in found
    assert way_out in found


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "mqtt",
        "MQTT.example",
        "core-mosquitto",
        "mqtt_broker",
        "1and1.example",
        "b\u00fcro.example",
        "192.168.1.2",
        "2001:db8::7",
        "::1",
        "fe80::1%eth0",
        "::ffff:192.0.2.7",
    ],
)
def test_a_name_that_a_host_can_have(tmp_path: Path, host: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"broker: {{host: '{host}'}}", "utf-8")

    assert load(path, {}).brokers[0].host == host


@pytest.mark.parametrize("broker", ["192.168.1.256", "mqtt://192.168.1.2.3:1883", "a:1883:x"])
def test_an_address_with_such_a_name(host_mistake: Callable[..., str], broker: str) -> None:
    found = host_mistake("", PILOT_BROKER=broker)

    assert found.startswith("environment variable PILOT_BROKER: broker")


@pytest.mark.parametrize("source", ["https://packages..example/", "https://packages.example:x/"])
def test_an_index_with_such_a_name(host_mistake: Callable[..., str], source: str) -> None:
    assert "update.source: expected" in host_mistake(f"broker: a\nupdate: {{source: '{source}'}}")


def test_setup_refuses_it_too() -> None:
    setup = pytest.importorskip(
        "companion_agent.cli.setup.run", reason="setup knows Linux only", exc_type=ImportError
    )

    with pytest.raises(ValueError, match=r"there is no host .192.168.1.256.: an IPv4 address"):
        setup.parse("192.168.1.256")
    with pytest.raises(ValueError, match=r"the broker .mqtt://.{3}@a:x. has a port") as caught:
        setup.parse("mqtt://pilot:Sup3r@a:x")
    assert "Sup3r" not in str(caught.value)


def test_a_zone_in_an_address(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("broker: 'mqtt://[fe80::1%25eth0]:1884'")

    assert str(load(path, {}).brokers[0]) == "[fe80::1%eth0]:1884"


def test_a_login_before_a_port_needs_no_scheme(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("broker: pilot:secret@mqtt.local:1884")

    broker = load(path, {}).brokers[0]

    assert (str(broker), broker.username, broker.password) == ("mqtt.local:1884", "pilot", "secret")


# --- No home -------------------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user id without an entry in passwd, as containers have."""

    def unknown(_: object) -> Never:
        raise KeyError("no such user")

    if sys.platform == "win32":
        pytest.skip("there is no passwd")
    for name in list(os.environ):
        if name in {"HOME", "STATE_DIRECTORY"} or name.startswith(("XDG_", "PILOT_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("os.geteuid", lambda: 4242)


@pytest.mark.usefixtures("homeless")
def test_everything_by_environment_needs_no_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILOT_BROKER", "mqtt.local")
    monkeypatch.setenv("PILOT_STATE_DIR", str(tmp_path))

    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "ok\n"


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("command", [["config", "check"], ["run"]])
def test_without_a_home_the_state_folder_has_to_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.setenv("PILOT_BROKER", "mqtt.local")

    assert main(command) == 2
    assert capsys.readouterr().err == (
        "state_dir: is needed: this user has no home folder; set it, PILOT_STATE_DIR or HOME\n"
    )


@pytest.mark.usefixtures("homeless")
def test_nothing_at_all_says_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 2

    printed = capsys.readouterr().err
    assert "there is no configuration; looked for /etc/pilot-agent/config.yaml." in printed
    assert "state_dir: is needed" in printed


@pytest.mark.usefixtures("homeless")
def test_only_the_system_is_looked_at() -> None:
    assert search_path({}) == [Path("/etc/pilot-agent/config.yaml")]


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("state_dir: ~/state", "state_dir"),
        ("broker: {host: a, username: u, password_file: ~/secret}", "broker.password_file"),
        ("broker: {host: a, tls: {ca_cert: ~nosuchuser/ca.pem}}", "broker.tls.ca_cert"),
        ("log: {file: ~/log}", "log.file"),
        ("update: {source: ~/releases}", "update.source"),
    ],
)
def test_a_tilde_without_a_home(
    host_mistake: Callable[..., str], monkeypatch: pytest.MonkeyPatch, line: str, key: str
) -> None:
    monkeypatch.setattr("pwd.getpwnam", lambda _: {}["unknown user"])

    found = host_mistake(line if line.startswith("broker") else f"broker: a\n{line}")

    assert f"{key}: expected" in found
    assert "is no known home; write the whole path" in found
