"""The conversation, with a real broker and without a system to change."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
import sys
from typing import TYPE_CHECKING, Any

import pytest

if sys.platform != "linux":
    pytest.skip("setup knows Linux only", allow_module_level=True)

from companion_agent.cli import main
from companion_agent.cli.setup import (
    discovery as find,
    linux_host,
    probe as trial,
    prompts as ask,
    run,
)
from companion_agent.cli.setup.linux_host import LinuxHost
from companion_agent.cli.setup.prompts import Asker
from companion_agent.cli.setup.run import SetupOptions
from companion_agent.config import load
from companion_agent.service import unit
from companion_agent.service.linux import Service
from companion_agent.service.unit import Program
from support.agent_mqtt import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.agent_mqtt import Certificates, Mosquitto

LOGIN = "allow_anonymous false\npassword_file {}\n"


class FakeAsker(Asker):
    """Answers questions in their order, and fails when one more is asked."""

    def __init__(self, *answers: str) -> None:
        super().__init__(interactive=True)
        self.answers = list(answers)
        self.asked: list[str] = []

    def text(self, question: str, default: str = "", *, flag: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0) or default

    def secret(self, question: str, *, flag: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)

    def yes(self, question: str, *, default: bool, flag: str = "") -> bool:
        self.asked.append(question)
        return self.answers.pop(0) == "yes"


UNATTENDED = Asker(interactive=False)


def set_up(options: SetupOptions, asker: Asker, service: Service | None = None) -> int:
    host = LinuxHost(service or Service(check=options.check), wanted=options.service)
    return run.setup(options, asker, host)


def take_away(asker: Asker, service: Service, *, purge: bool | None = None) -> int:
    return run.remove(asker, LinuxHost(service), purge=purge)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(find, "find", list)
    monkeypatch.delenv("PILOT_BROKER__PASSWORD", raising=False)
    # Whichever user runs these tests, the state is not the machine's.
    monkeypatch.setattr(trial, "default_state_dir", lambda: tmp_path / "state")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def setup_options(path: Path, **more: Any) -> SetupOptions:
    return SetupOptions(config=path, service=False, **more)


def test_asks_for_nothing_but_the_broker(path: Path, mosquitto: Mosquitto) -> None:
    person = FakeAsker(f"127.0.0.1:{mosquitto.port}")
    assert set_up(setup_options(path), person) == 0
    assert len(person.asked) == 1
    assert load(path, {}).brokers == (mosquitto.broker(),)
    # A second time there is nothing to ask.
    text = path.read_text()
    assert set_up(setup_options(path), FakeAsker()) == 0
    assert path.read_text() == text


def test_what_is_found_is_offered(
    path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = find.Found("127.0.0.1", mosquitto.port, "usual name")
    monkeypatch.setattr(find, "find", lambda: [there])
    assert set_up(setup_options(path), UNATTENDED) == 0
    assert load(path, {}).brokers == (mosquitto.broker(),)


def test_without_a_terminal_to_ask(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set_up(setup_options(path), UNATTENDED) == run.BAD_INPUT
    assert "--broker" in capsys.readouterr().err
    assert not path.exists()


def test_an_unreachable_broker_is_explained_and_not_written(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    assert set_up(setup_options(path, broker=address), UNATTENDED) == run.NOT_WELL
    assert f"nothing listens on port {port}" in capsys.readouterr().out
    assert not path.exists()
    assert set_up(setup_options(path, broker=address, untested=True), UNATTENDED) == 0
    assert load(path, {}).brokers[0].port == port


def test_another_address_or_none(path: Path, mosquitto: Mosquitto) -> None:
    wrong = f"127.0.0.1:{free_port()}"
    person = FakeAsker(wrong, "http://x", f"127.0.0.1:{mosquitto.port}")
    assert set_up(setup_options(path), person) == 0
    assert load(path, {}).brokers == (mosquitto.broker(),)
    path.unlink()
    assert set_up(setup_options(path), FakeAsker(wrong, "keep")) == 0
    assert path.exists()


def test_a_login_is_asked_for_until_it_is_right(
    path: Path, make_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    hashed = tmp_path / "passwords"
    hashed.write_text("pilot:" + PASSWORD_HASH + "\n")
    hashed.chmod(0o600)
    mosquitto = make_mosquitto(LOGIN.format(hashed))
    person = FakeAsker(f"127.0.0.1:{mosquitto.port}", "pilot", "wrong", "", "right")
    assert set_up(setup_options(path), person) == 0
    assert load(path, {}).brokers == (mosquitto.broker(username="pilot", password="right"),)


# "right", as mosquitto_passwd writes it.
PASSWORD_HASH = ""


@pytest.fixture(autouse=True, scope="module")
def password_hash(tmp_path_factory: pytest.TempPathFactory) -> None:
    import base64
    import hashlib

    salt = bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", b"right", salt, 101)
    words = (base64.b64encode(part).decode() for part in (salt, digest))
    globals()["PASSWORD_HASH"] = "$7$101$" + "$".join(words)


def test_a_private_authority_is_asked_for(
    path: Path, make_mosquitto: Callable[..., Mosquitto], certificates: Certificates
) -> None:
    mosquitto = make_mosquitto(certificates.settings())
    person = FakeAsker(f"mqtts://localhost:{mosquitto.port}", str(certificates.ca))
    assert set_up(setup_options(path), person) == 0
    (broker,) = load(path, {}).brokers
    assert broker.tls
    assert broker.tls.ca_cert == path.with_name("ca.pem")
    # The same file named again is nothing new.
    again = setup_options(path, ca_cert=certificates.ca)
    text = path.read_text()
    assert set_up(again, UNATTENDED) == 0
    assert path.read_text() == text


def test_a_broken_configuration_is_not_touched(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text("broker:\n  hots: x\n")
    assert set_up(setup_options(path, broker="a.local"), UNATTENDED) == run.BAD_INPUT
    assert "did you mean host?" in capsys.readouterr().err
    assert path.read_text() == "broker:\n  hots: x\n"


@pytest.mark.parametrize("address", ["http://x", "mqtt.local:x", "", "a.local/b"])
def test_odd_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="the broker"):
        run.parse(address)


def test_the_password_comes_from_a_file_the_input_or_the_environment(
    path: Path, mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def password(**more: Any) -> str:
        address = f"127.0.0.1:{mosquitto.port}"
        path.unlink(missing_ok=True)
        assert set_up(setup_options(path, broker=address, username="u", **more), UNATTENDED) == 0
        return load(path, {}).brokers[0].password.reveal()

    (tmp_path / "secret").write_text("from a file\n")
    assert password(password_file=str(tmp_path / "secret")) == "from a file"
    monkeypatch.setattr(sys, "stdin", io.StringIO("from the input\n"))
    assert password(password_file="-") == "from the input"
    monkeypatch.setenv("PILOT_BROKER__PASSWORD", "from the environment")
    assert password() == "from the environment"
    bad = setup_options(path, broker="a.local", password_file=str(tmp_path / "none"))
    assert set_up(bad, UNATTENDED) == run.BAD_INPUT


FLEET_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_more_of_the_configuration_from_a_file(
    path: Path, mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, key = tmp_path / "settings.yaml", tmp_path / "key"
    settings.write_text("commands: {allow: [power.*]}\nlog: {level: debug}\n")
    key.write_text(f"{FLEET_KEY}\n")
    options = setup_options(
        path, broker=f"127.0.0.1:{mosquitto.port}", settings=settings, fleet_key_file=key
    )
    assert set_up(options, UNATTENDED) == 0
    config = load(path, {})
    assert config.fleet == bytes(range(32))
    assert (list(config.commands.allow), config.log.level) == (["power.*"], "debug")
    assert FLEET_KEY not in path.read_text()
    assert path.with_name("fleet-key").stat().st_mode & 0o777 == 0o600
    # A second time there is nothing to change, and what is not named stays.
    path.write_text(path.read_text() + "topic_prefix: home/pilot # mine\n")
    assert set_up(options, UNATTENDED) == 0
    assert "Nothing had to be changed." in capsys.readouterr().out
    settings.write_text("commands: {allow: []}\n")
    assert set_up(options, UNATTENDED) == 0
    assert "topic_prefix: home/pilot # mine" in path.read_text()
    assert list(load(path, {}).commands.allow) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("broker: x\n", "--broker"),
        ("- a\n", "no keys at its top"),
        ("a: [\n", "settings.yaml:2: is not valid YAML"),
        ("[" * 5000, "settings.yaml: is nested too deeply"),
        ("ups: {hots: a}\n", "settings.yaml:1: ups.hots: is not known here; did you mean host?"),
        ("ups: a\nups: b\n", "settings.yaml:2: ups: is already set in line 1"),
        ("security: 5\n", "settings.yaml:1: security: expected keys below it"),
        ("name: 2026-99-99\n", "put it in quotes"),
        (None, "cannot be read"),
    ],
)
def test_settings_that_cannot_be_used(
    path: Path,
    tmp_path: Path,
    settings: str | None,
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "settings.yaml"
    if settings is not None:
        file.write_text(settings)
    options = setup_options(path, broker="a.local", settings=file, untested=True)
    assert set_up(options, UNATTENDED) == run.BAD_INPUT
    assert problem in capsys.readouterr().err
    assert not path.exists()


def test_every_mistake_of_the_settings_is_named(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("collectors: {cpu: {interval: -5}}\nlog: {level: loud}\n")

    code = set_up(setup_options(path, broker="a.local", settings=file), UNATTENDED)

    first, second = capsys.readouterr().err.splitlines()
    assert code == run.BAD_INPUT
    assert first.startswith(f"{file}:1: collectors.cpu.interval: expected seconds")
    assert second.startswith(f"{file}:2: log.level: expected")


def test_files_in_the_settings_lie_beside_the_configuration(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "house-key").write_text(FLEET_KEY)
    file = tmp_path / "elsewhere" / "settings.yaml"
    file.write_text("security: {fleet_key_file: house-key}\n")
    options = setup_options(path, broker="127.0.0.1:1", settings=file, untested=True)

    assert set_up(options, UNATTENDED) == run.OK

    assert load(path, {}).fleet == bytes(range(32))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"name": "n" * 256}, "--name: expected a text of 1 to 255 characters"),
        ({"client_key": Path(__file__)}, "add --client-cert"),
    ],
)
def test_options_that_cannot_be_used(
    path: Path, more: dict[str, Any], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = setup_options(path, broker="127.0.0.1:1", untested=True, **more)

    assert set_up(options, UNATTENDED) == run.BAD_INPUT

    printed = capsys.readouterr()
    assert problem in printed.err
    assert not path.exists()


def test_purge_without_remove_sets_nothing_up(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["setup", "--yes", "--no-service", "--config", str(path), "--broker", "a.local"]

    assert main([*arguments, "--untested", "--purge"]) == run.BAD_INPUT

    assert "belong to --remove" in capsys.readouterr().err
    assert not path.exists()


def test_a_fleet_key_that_is_none(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("a sentence\n")
    options = setup_options(path, broker="a.local", fleet_key_file=tmp_path / "key")
    assert set_up(options, UNATTENDED) == run.BAD_INPUT
    assert "openssl rand" in capsys.readouterr().err


def test_a_look_changes_nothing(
    path: Path, mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"127.0.0.1:{mosquitto.port}"
    settings = tmp_path / "settings.yaml"
    settings.write_text("commands: {allow: [power.*]}\n")
    look = setup_options(path, broker=address, settings=settings, check=True)
    assert set_up(look, UNATTENDED) == 0
    assert f"Would be changed: {path}." in capsys.readouterr().out
    assert not path.exists()
    assert set_up(setup_options(path, broker=address, settings=settings), UNATTENDED) == 0
    text = path.read_text()
    assert set_up(look, UNATTENDED) == 0
    assert "Nothing would be changed." in capsys.readouterr().out
    settings.write_text("commands: {allow: [session.*]}\n")
    assert set_up(look, UNATTENDED) == 0
    assert "Would be changed" in capsys.readouterr().out
    settings.write_text("commands: {alow: []}\n")
    assert set_up(look, UNATTENDED) == run.BAD_INPUT
    assert "did you mean allow?" in capsys.readouterr().err
    assert path.read_text() == text


# --- With a service ----------------------------------------------------------------------------


class FakeService(Service):
    """A service that is always there and whose folder is another."""

    has = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.words = "Connected to x"

    @property
    def has_systemd(self) -> bool:
        return self.has

    @property
    def active(self) -> bool:
        return True

    def status(self) -> str:
        return self.words

    def add_user(self, *, packaged: bool) -> None:
        self.calls.append("user")

    def install(self, program: Program, policy: object, **wanted: object) -> None:
        self.calls.append("install")

    def start(self, *, restart: bool) -> None:
        self.calls.append(f"start {restart}")

    def remove(self) -> None:
        self.calls.append("remove")

    def purge(self, *folders: PurePosixPath) -> None:
        self.calls.append(f"purge {len(folders)}")

    def _give(self, place: Path, owner: str, group: str) -> None:
        pass


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeService:
    monkeypatch.setattr(linux_host, "is_administrator", lambda: True)
    monkeypatch.setattr(
        linux_host, "this_program", lambda: Program(PurePosixPath("/home/a/x/pilot-agent"))
    )
    monkeypatch.setattr(unit, "CONFIG_FOLDER", PurePosixPath(tmp_path / "etc"))
    monkeypatch.setattr(run, "_ONLINE_LIMIT", 0.0)
    return FakeService()


def test_installs_starts_and_says_what_comes_next(
    pretended: FakeService, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SetupOptions(broker=f"127.0.0.1:{mosquitto.port}")
    assert set_up(options, UNATTENDED, pretended) == 0
    assert pretended.calls == ["user", "install", "start True"]
    said = capsys.readouterr().out
    assert "the owner of that decides" in said
    assert "Next: `pilot-agent pair`" in said
    pretended.calls.clear()
    pretended.words = "Not connected to x: no answer"
    assert set_up(SetupOptions(), UNATTENDED, pretended) == run.NOT_WELL
    assert pretended.calls == ["user", "install", "start False"]
    assert set_up(SetupOptions(untested=True), UNATTENDED, pretended) == 0


def test_pairs_when_a_user_is_at_the_terminal(
    pretended: FakeService, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Path] = []
    monkeypatch.setattr(
        "companion_agent.cli.pair.pair", lambda folder, *, qr: shown.append(folder) or 0
    )
    assert set_up(SetupOptions(broker=f"127.0.0.1:{mosquitto.port}"), FakeAsker(), pretended) == 0
    assert len(shown) == 1
    assert set_up(SetupOptions(pair=False), FakeAsker(), pretended) == 0
    assert len(shown) == 1


def test_says_what_is_missing_first(
    pretended: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = SetupOptions(config=Path("/tmp/x.yaml"))
    assert set_up(other, UNATTENDED, pretended) == run.NOT_WELL
    assert "no other file" in capsys.readouterr().err
    pretended.has = False
    assert set_up(SetupOptions(), UNATTENDED, pretended) == run.NOT_WELL
    assert "--no-service" in capsys.readouterr().err
    monkeypatch.setattr(linux_host, "is_administrator", lambda: False)
    assert set_up(SetupOptions(), UNATTENDED, pretended) == run.NOT_WELL
    assert take_away(UNATTENDED, pretended) == run.NOT_WELL
    assert pretended.calls == []


def test_removal_asks_before_keys_go(pretended: FakeService) -> None:
    assert take_away(FakeAsker("no"), pretended) == 0
    assert take_away(UNATTENDED, pretended) == 0
    assert pretended.calls == ["remove", "remove"]
    assert take_away(FakeAsker("yes"), pretended) == 0
    assert take_away(UNATTENDED, pretended, purge=True) == 0
    assert pretended.calls[2:] == ["remove", "purge 2"] * 2


# --- The terminal ------------------------------------------------------------------------------


def test_questions_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["", "", "typed", "perhaps", "n", "", "secret"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    asker = Asker(interactive=True)
    assert asker.text("Broker", "found", flag="--broker") == "found"
    assert asker.text("Broker", flag="--broker") == "typed"
    assert asker.yes("Really?", default=True) is False
    assert asker.yes("Really?", default=True) is True
    monkeypatch.setattr("getpass.getpass", lambda _: "hidden")
    assert asker.secret("Password", flag="--password-file") == "hidden"


def test_questions_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for question in (
        lambda: UNATTENDED.text("Broker", flag="--broker"),
        lambda: UNATTENDED.secret("Password", flag="--password-file"),
        lambda: UNATTENDED.yes("Really?", default=True, flag="--purge"),
    ):
        with pytest.raises(ask.NotInteractiveError, match="--"):
            question()
    assert UNATTENDED.yes("Really?", default=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert not ask.is_interactive()
    with pytest.raises(ask.NotInteractiveError, match="the input has ended"):
        Asker(interactive=True).text("Broker", flag="--broker")


def test_the_command_line(
    path: Path, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["setup", "--yes", "--no-service", "--config", str(path)]
    assert main([*arguments, "--broker", f"127.0.0.1:{mosquitto.port}", "--name", "Office"]) == 0
    assert load(path, {}).name == "Office"
    assert "Changed: " in capsys.readouterr().out
