"""`pilot-agent doctor`: what works, why the rest does not, and what to do."""

from __future__ import annotations

import base64
from contextlib import ExitStack
import json
from pathlib import Path
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import config as configuration
from companion_agent.buffer.record import Point
from companion_agent.buffer.store import Store
from companion_agent.buffer.task import Task
from companion_agent.cli import doctor, main
from companion_agent.cli.comparison import compare
from companion_agent.cli.snapshot import Snapshot
from companion_agent.clock import Moment
from companion_agent.config import Broker, Config
from companion_agent.config.buffer import BacklogConfig
from companion_agent.identity import only_agent
from companion_agent.ipc.client import LocalClient
from companion_agent.ipc.server import LocalServer
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.protocol.topics import Topics
from companion_agent.worker import Result
from support.agent_host import HOST, FakeCollector
from support.agent_mqtt import FakeHomeAssistant, Mosquitto, free_port, password_file
from support.event_loop import ManualEventLoop, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.cli.doctor import Check
    from companion_agent.ipc.server import Connection
    from support.agent_host import RunningAgent

TOPICS = Topics("pilot/v2", HOST)
BIRTH = "homeassistant/status"


def examine(mosquitto: Mosquitto, **settings: Any) -> dict[str, Check]:
    broker = mosquitto.broker(**settings)
    checks = doctor.check_broker(broker, TOPICS, BIRTH)
    return {check.name.removeprefix(f"broker {broker}").strip(", "): check for check in checks}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_works(mosquitto: Mosquitto, protocol: str) -> None:
    checks = examine(mosquitto, protocol=protocol)

    assert {name: check.verdict for name, check in checks.items()} == {
        "": "ok",
        "listening": "ok",
        "publishing": "ok",
    }


def test_a_broker_that_drops_large_messages_and_says_that_it_took_them(
    make_mosquitto: Callable[..., Mosquitto],
) -> None:
    small = make_mosquitto("allow_anonymous true\nmessage_size_limit 700\n")

    check = examine(small, protocol="3.1.1")["publishing"]

    assert check.verdict == "bad"
    assert "took a message of 8,192 bytes" in check.detail
    assert "message_size_limit" in check.hint


def test_leaves_nothing_behind(
    mosquitto: Mosquitto, home_assistant_at: Callable[..., FakeHomeAssistant]
) -> None:
    examine(mosquitto)

    home_assistant = home_assistant_at(mosquitto)
    home_assistant.publish(f"pilot/v2/{HOST}/end", "")
    home_assistant.wait_for("end")
    assert [topic for topic, _ in home_assistant.published] == [f"pilot/v2/{HOST}/end"]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_topic_that_may_not_be_written(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, protocol: str
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite other/#\n")
    mosquitto = make_mosquitto(f"allow_anonymous true\nacl_file {acl}\n")

    checks = examine(mosquitto, protocol=protocol)

    assert checks["publishing"].verdict == "bad"
    assert "access list" in checks["publishing"].hint


@pytest.mark.parametrize(
    ("setting", "where", "text"),
    [
        ("max_packet_size 2000", "limits", "packets of at most 2,000 bytes (max_packet_size in Mo"),
        ("retain_available false", "limits", "retain_available in Mosquitto"),
        ("max_qos 0", "", "QoS 0 at most"),
        ("max_keepalive 10", "", "keep-alive 10 s"),
    ],
)
def test_what_a_broker_does_not_take_is_said(
    make_mosquitto: Callable[..., Mosquitto], setting: str, where: str, text: str
) -> None:
    checks = examine(make_mosquitto(f"allow_anonymous true\n{setting}\n"))

    assert text in checks[where].detail
    assert checks[where].verdict == ("bad" if where else "ok")
    assert [checks[name].verdict for name in ("listening", "publishing")] == ["ok", "ok"]


@pytest.mark.parametrize("setting", ["max_packet_size 2000", "retain_available false"])
def test_mqtt_3_shows_by_trying_what_a_broker_does_not_take(
    make_mosquitto: Callable[..., Mosquitto], setting: str
) -> None:
    mosquitto = make_mosquitto(f"allow_anonymous true\n{setting}\n")

    checks = examine(mosquitto, protocol="3.1.1")

    bad = [check for check in checks.values() if check.verdict == "bad"]
    assert bad
    assert setting.split(maxsplit=1)[0] in bad[0].detail


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_documented_access_list_is_enough(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, protocol: str
) -> None:
    documented = Path(__file__).parents[3] / "deploy/mosquitto/pilot.acl"
    acl, passwords = tmp_path / "acl", tmp_path / "passwords"
    acl.write_bytes(documented.read_bytes())
    login = password_file(passwords, HOST, "secret")
    mosquitto = make_mosquitto(f"allow_anonymous false\n{login}acl_file {acl}\n")

    checks = examine(mosquitto, protocol=protocol, username=HOST, password="secret")

    assert {check.verdict for check in checks.values()} == {"ok"}


def test_a_host_that_may_speak_but_hears_nothing(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write pilot/v2/#\n")
    mosquitto = make_mosquitto(f"allow_anonymous true\nacl_file {acl}\n")

    checks = examine(mosquitto)

    assert checks["publishing"].verdict == "bad"
    assert "does not arrive" in checks["publishing"].detail


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_an_announce_that_is_dropped(
    make_mosquitto: Callable[..., Mosquitto],
    run_agent: Callable[..., RunningAgent],
    tmp_path: Path,
    protocol: str,
) -> None:
    acl = tmp_path / "acl"
    allowed = "".join(f"topic readwrite {topic}\n" for topic in (TOPICS.availability, TOPICS.state))
    acl.write_text(f"{allowed}topic read #\n")
    mosquitto = make_mosquitto(f"allow_anonymous true\nacl_file {acl}\n")
    transport = run_agent(mosquitto.broker(protocol=protocol)).agent._transport
    wait_until(lambda: transport.online and transport.settled)

    publishing = examine(mosquitto, protocol=protocol)["publishing"]

    assert publishing.verdict == "bad"
    assert f"nothing on {TOPICS.announce}: it drops that" in publishing.detail
    assert f"topic readwrite {TOPICS.announce} in Mosquitto" in publishing.hint


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_is_said_again_is_the_announce_of_before(
    mosquitto: Mosquitto,
    home_assistant_at: Callable[..., FakeHomeAssistant],
    run_agent: Callable[..., RunningAgent],
    protocol: str,
) -> None:
    home_assistant = home_assistant_at(mosquitto)
    run_agent(mosquitto.broker(protocol=protocol))
    announced = home_assistant.wait_for("announce")

    checks = examine(mosquitto, protocol=protocol)

    assert checks["publishing"].verdict == "ok"
    assert home_assistant.wait_for("announce", count=2) == announced


def test_the_probe_listens_to_what_the_agent_listens_to(
    mosquitto: Mosquitto, run_agent: Callable[..., RunningAgent]
) -> None:
    agent = run_agent(mosquitto.broker()).agent

    assert set(agent._router.subscriptions) == {*TOPICS.heard_by_host, BIRTH}


def test_does_not_push_out_the_running_agent(mosquitto: Mosquitto) -> None:
    assert examine(mosquitto, client_id="upstairs")[""].verdict == "ok"


def test_a_clock_that_was_never_set() -> None:
    assert doctor._check_clock(0).verdict == "bad"


# --- What waits to be delivered --------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config((Broker("localhost"),), tmp_path / "state")


def keep(config: Config, count: int) -> None:
    config.state_dir.mkdir()
    points = [
        Point("cpu.percent", Moment(1793952000.0 + step, step, sure=True), step)
        for step in range(count)
    ]
    moment = Moment(1793952000.0 + count, count)
    store = Store(config.state_dir, config.backlog, "run")
    store.work(Task(moment, "boot", ("reader",), points, recording=True))
    store.close()


def test_a_backlog_that_is_empty(config: Config) -> None:
    [check] = doctor.check_backlog(config)

    assert (check.verdict, check.detail) == ("ok", "nothing waits to be delivered")
    assert not config.state_dir.exists()


def test_how_much_waits_and_since_when(config: Config) -> None:
    keep(config, 3)

    [check] = doctor.check_backlog(config)

    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1793952000))
    assert check.verdict == "ok"
    assert check.detail.startswith(f"3 readings since {since}")
    assert check.detail.endswith("of 32 MiB")


def test_a_backlog_that_is_only_kept_open(config: Config) -> None:
    keep(config, 0)

    [check] = doctor.check_backlog(config)

    assert check.detail.startswith("nothing waits to be delivered")


def test_a_backlog_that_is_switched_off(tmp_path: Path) -> None:
    config = Config((Broker("localhost"),), tmp_path, backlog=BacklogConfig(enabled=False))

    [check] = doctor.check_backlog(config)

    assert check.verdict == "absent"


def test_backlogs_that_broke(config: Config) -> None:
    keep(config, 3)
    (config.state_dir / "backlog.db").write_bytes(b"\xff" * 8192)
    (config.state_dir / "backlog.db.damaged").write_bytes(b"\xff" * 8192)

    aside, now = doctor.check_backlog(config)

    assert (aside.verdict, now.verdict) == ("bad", "bad")
    assert str(config.state_dir / "backlog.db.damaged") in aside.detail
    assert "backlog.db: file is not a database" in now.detail


def test_a_disk_without_room(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(config, 3)
    monkeypatch.setattr(doctor, "SPACE_NEEDED", 1e18)

    full, _ = doctor.check_backlog(config)

    assert full.verdict == "bad"
    assert str(config.state_dir) in full.detail


def test_the_whole_host(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "config.yaml").write_text(
        f"broker: [127.0.0.1:{mosquitto.port}, 127.0.0.1:{free_port()}]\n"
        # Of what waits on this machine apt needs longer to tell than a busy one gives it.
        "collectors: {wifi: {enabled: no}, updates: {enabled: no}}\n"
    )
    monkeypatch.setattr("companion_agent.cli.snapshot.GAP", 0.0)

    code = main(["doctor", "--json", "--config", str(tmp_path / "config.yaml")])

    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert code == 1  # the second broker is not there
    assert checks["collector memory"]["verdict"] == "ok"
    assert checks["collector wifi"]["detail"] == "switched off in the configuration"
    assert checks[f"broker 127.0.0.1:{mosquitto.port}"]["verdict"] == "ok"
    assert [name for name, check in checks.items() if check["verdict"] == "bad"] == [
        name for name in checks if name.startswith("broker") and str(mosquitto.port) not in name
    ]


def test_what_is_bad_stands_first(capsys: Any) -> None:
    checks = [
        doctor.Check("clock", "ok", "right"),
        doctor.Check("session", "absent", "no desktop"),
        doctor.Check("broker", "bad", "nothing listens"),
    ]

    doctor._print_table(checks)

    printed = capsys.readouterr().out
    assert printed.index("broker") < printed.index("clock") < printed.index("session")


def test_what_strangers_say_does_nothing_to_the_terminal(capsys: Any) -> None:
    """A session helper is a program of whichever user works at the computer; root looks."""
    helper = {**HELPER, "version": "1\x1b]0;owned\x07", "user": "anna\u202e\x9b2J"}
    checks = list(doctor.check_session_helpers({**DESKTOP, "helpers": [helper]}))

    doctor._print_table(checks)

    printed = capsys.readouterr().out
    assert all(one == "\n" or one.isprintable() for one in printed)
    assert r"1\x1b]0;owned\x07" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="it has no /dev/null")
def test_a_state_folder_that_can_be_none() -> None:
    """Users of containers often have /dev/null as their home folder."""
    folder = Path("/dev/null/.local/state/pilot-agent")

    [check] = doctor.check_backlog(Config((Broker("localhost"),), folder))

    assert check.verdict == "bad"
    assert check.detail == f"{folder} cannot be used: Not a directory"


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are not Windows'")
def test_a_state_folder_that_this_user_may_not_enter(closed: Path) -> None:
    config = Config((Broker("localhost"),), closed)

    checks = [doctor.check_pairing(config), *doctor.check_backlog(config)]

    assert [(check.name, check.verdict, check.hint) for check in checks] == [
        ("pairing", "bad", "run this as root"),
        ("backlog", "bad", "run this as root"),
    ]
    assert all(str(closed) in check.detail for check in checks)


def test_without_a_configuration_it_still_looks_at_the_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setattr("companion_agent.cli.snapshot.GAP", 0.0)
    monkeypatch.setattr("companion_agent.plugins.updates.plugin.PATIENCE", 0.1)

    code = main(["doctor", "--config", str(tmp_path / "nowhere.yaml")])

    printed = capsys.readouterr().out
    assert code == 1
    assert "there is no such file" in printed
    assert "collector memory" in printed


# --- Secrets and refusals --------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes")
@pytest.mark.parametrize(
    ("content", "open_file"),
    [
        ("security: {{fleet_key: {key}}}", "config.yaml"),
        ("security: {{fleet_key_file: key}}", "key"),
        ("broker: {{host: h, username: u, password: p}}", "config.yaml"),
        ("broker: mqtt://u:p@h", "config.yaml"),
        ("broker: [h, 'mqtt://u:p@h']", "config.yaml"),
        ("broker: {{host: h, username: u, password_file: key}}", "key"),
        ("broker: h", ""),
    ],
)
def test_a_secret_that_others_can_read(tmp_path: Path, content: str, open_file: str) -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    (tmp_path / "key").write_text(key)
    file = tmp_path / "config.yaml"
    file.write_text(f"{content.format(key=key)}\nstate_dir: state\n")
    environment = {} if "broker" in content else {"PILOT_BROKER": "h"}
    config = configuration.load(file, environment)
    for path in (file, tmp_path / "key"):
        path.chmod(0o644)

    checks = list(doctor._check_secrets(config))

    assert [check.detail for check in checks] == [
        f"{tmp_path / name} holds a secret and is open to others (mode 644)"
        for name in ([open_file] if open_file else [])
    ]
    if open_file:
        (tmp_path / open_file).chmod(0o600)
        [check] = doctor._check_secrets(config)
        assert check.verdict == "ok"


def test_a_secret_in_the_environment_is_in_no_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("broker: {host: h, username: u, password: p}\n")
    config = configuration.load(file, {"PILOT_BROKER__PASSWORD": "other"})
    assert config.secret_files == ()


def test_what_was_refused_is_asked_of_the_running_agent(tmp_path: Path) -> None:
    config = configuration.load(None, {"PILOT_BROKER": "h", "PILOT_STATE_DIR": str(tmp_path)})
    assert doctor._check_refused(config).verdict == "absent"

    with Answering(tmp_path, {"refused": {}}):
        assert doctor._check_refused(config).detail == "none since the agent's start"
    with Answering(tmp_path, {"refused": {"command.replayed": 3}}):
        check = doctor._check_refused(config)
    assert check.verdict == "ok"
    assert "command.replayed 3" in check.detail
    assert "audit.log" in check.hint


# --- What the service sees -------------------------------------------------------------------


def seen(**collectors: dict[str, Any]) -> dict[str, Any]:
    """What a service answers, with readings given as `(value, unit, kind)`."""
    return {
        "collectors": {
            name: {
                "available": bool(readings),
                "why": "" if readings else "no such device",
                "readings": {
                    f"{name}.{key}": dict(zip(("value", "unit", "kind"), reading, strict=True))
                    for key, reading in readings.items()
                },
            }
            for name, readings in collectors.items()
        },
        "broker": {"name": "h", "unwritable": {}, "unreadable": {}},
    }


def memory(total: int | None, unit: str = "B") -> dict[str, Any]:
    return {"total": (total, unit, "memory.total"), "percent": (12.5, "%", "memory.percent")}


@pytest.mark.parametrize(
    ("service", "shell", "text", "lost"),
    [
        (
            {"memory": memory(26843545600)},
            {"memory": memory(536870912)},
            "memory.total: the service sees 25.0 GiB, this shell 512.0 MiB",
            True,
        ),
        ({"memory": memory(100)}, {"memory": memory(100)}, "", False),
        (
            {"disk": {}},
            {"disk": {"tmp.total": (1, "B", "disk.total")}},
            "disk: the service says “no such device”, this shell sees 1 readings",
            True,
        ),
        (
            {"fan": {"a": (1, "rpm", "fan.speed")}},
            {"fan": {"a": (1, "rpm", "fan.speed"), "b": (2, "rpm", "fan.speed")}},
            "the service does not see fan.b",
            True,
        ),
        (
            {"fan": {"a": (1, "rpm", "fan.speed"), "b": (2, "rpm", "fan.speed")}},
            {"fan": {"a": (3000, "rpm", "fan.speed")}},
            "this shell does not see fan.b",
            False,
        ),
        ({"memory": memory(None)}, {"memory": memory(5)}, "cannot read memory.total", True),
        ({"memory": memory(5, "KiB")}, {"memory": memory(5)}, "reads KiB, this shell B", True),
        ({}, {"memory": memory(5)}, "memory: the service does not read it", True),
        ({"memory": memory(5)}, {}, "memory: the service reads it", False),
    ],
)
def test_what_the_service_sees_otherwise_is_said(
    service: dict[str, Any], shell: dict[str, Any], text: str, lost: bool
) -> None:
    found = compare(seen(**service)["collectors"], seen(**shell)["collectors"])

    assert [one.lost for one in found] == ([lost] if text else [])
    assert text in "".join(one.text for one in found)


@pytest.mark.skipif(sys.platform == "win32", reason="the hint names systemd's settings")
def test_the_running_service_is_compared_with_this_shell(tmp_path: Path) -> None:
    config = configuration.load(None, {"PILOT_BROKER": "h", "PILOT_STATE_DIR": str(tmp_path)})
    snapshot = Snapshot([CollectorRunner(FakeCollector("memory", total=536870912), 10)])
    snapshot.sources[0].take(Result("memory", snapshot.sources[0].job().run()))

    without = list(doctor.check_service(config, snapshot))
    with Answering(tmp_path, seen(memory={"total": (26843545600, "B", "memory.total")})):
        [differs] = doctor.check_service(config, snapshot)
    with Answering(tmp_path, seen(memory={"total": (536870912, "B", "memory.total")})):
        [same] = doctor.check_service(config, snapshot)

    assert without == []
    assert (differs.verdict, same.verdict) == ("bad", "ok")
    assert "the service sees 25.0 GiB, this shell 512.0 MiB" in differs.detail
    assert "ProtectKernelTunables" in differs.hint


def test_topics_that_are_closed_to_the_service_are_named(tmp_path: Path) -> None:
    config = configuration.load(None, {"PILOT_BROKER": "h", "PILOT_STATE_DIR": str(tmp_path)})
    answer = seen()
    answer["broker"]["unreadable"] = {"a/command/+": "not allowed; the broker's access list …"}

    with Answering(tmp_path, answer):
        _, rights = doctor.check_service(config, Snapshot([]))

    assert rights.verdict == "bad"
    assert rights.detail.startswith("it does not hear a/command/+ (not allowed")


def test_a_running_agent_says_what_it_sees(
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    run_agent: Callable[..., RunningAgent],
    tmp_path: Path,
) -> None:
    run_agent(mosquitto.broker(), collectors=[FakeCollector("memory", total=1024.0)])
    home_assistant.wait_for("state/memory")

    client = LocalClient(tmp_path)
    answer = client.ask({"ask": "seen"})
    client.close()

    assert answer["collectors"]["memory"]["readings"] == {
        "memory.total": {"value": 1024.0, "unit": "B", "kind": "memory.total"}
    }
    assert answer["broker"]["online"] is True


class Answering:
    """A running agent that answers one thing."""

    def __init__(self, folder: Path, answer: dict[str, Any]) -> None:
        self.answer = answer
        self._folder = folder
        self._held = ExitStack()
        self.server = LocalServer(folder, self)
        self._loop = ManualEventLoop(time.monotonic)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: self._loop.until(self._stop.is_set), daemon=True
        )

    def received(self, connection: Connection, message: dict[str, Any]) -> None:
        connection.send(self.answer)

    def gone(self, connection: Connection) -> None:
        pass

    def __enter__(self) -> None:
        self._held.enter_context(only_agent(self._folder))
        self._loop.run_until_complete(self.server.open())
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._loop.call(self.server.close)
        self._loop.settle()
        self._loop.end()
        self._held.close()


# --- Session helpers -------------------------------------------------------------------------

HELPER = {
    "session": "2",
    "user": "anna",
    "type": "wayland",
    "meant": True,
    "silent": False,
    "version": "0.1.0",
    "domains": {
        "screen": {"way": "Mutter's PowerSaveMode", "empty": False, "why": {"keep_awake": "no bus"}}
    },
}
DESKTOP = {"closed": "", "refused": {}, "helpers": [], "lacking": []}


@pytest.mark.parametrize(
    ("desktop", "verdicts", "told"),
    [
        ({"closed": "the service has no runtime folder"}, ["absent"], "no runtime folder"),
        ({}, ["absent"], "no user works in a session with windows"),
        ({"lacking": ["anna"]}, ["bad"], "anna works in a session that has none"),
        ({"helpers": [HELPER]}, ["ok"], "screen: Mutter's PowerSaveMode (not: keep_awake no bus)"),
        ({"helpers": [{**HELPER, "silent": True}]}, ["bad"], "it does not answer"),
        ({"helpers": [HELPER], "refused": {"no_session": 3}}, ["ok", "ok"], "no_session 3"),
    ],
)
def test_session_helpers_are_listed_with_what_they_offer(
    desktop: dict[str, Any], verdicts: list[str], told: str
) -> None:
    checks = list(doctor.check_session_helpers({**DESKTOP, **desktop}))

    assert [check.verdict for check in checks] == verdicts
    assert told in " ".join(check.detail for check in checks)


def test_a_service_of_an_older_version_knows_no_session_helpers() -> None:
    assert list(doctor.check_session_helpers(None)) == []


def test_commands_that_the_system_does_not_permit_are_named_with_the_way_out() -> None:
    rule = "As root, write this:\n\n// a rule"
    refused = {
        "services.nginx.switch": ["polkit", rule],
        "services.nginx.restart": ["polkit", rule],
        "services.spooler.stop": ["service rights", "sc.exe sdset Spooler"],
    }

    polkit, windows = doctor.check_permissions(refused)

    assert polkit.verdict == "absent"
    assert "services.nginx.switch, services.nginx.restart" in polkit.detail
    assert "sudo pilot-agent setup" in polkit.hint
    assert windows.hint == "sc.exe sdset Spooler"
    assert list(doctor.check_permissions({})) == []
