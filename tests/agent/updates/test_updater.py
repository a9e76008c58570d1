"""The agent's part: what it says, what it refuses, and what the process that works for it does."""

from __future__ import annotations

import dataclasses
import errno
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from companion_agent import __version__
from companion_agent.config.updates import UpdateConfig
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.agent import AgentPlugin
from companion_agent.protocol.announce import update_fields
from companion_agent.updates import subprocess_main, updater as module
from companion_agent.updates.launcher import Launched
from companion_agent.updates.updater import Updater
from support.clock import PassingClock
from support.event_loop import PATIENCE, ManualEventLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from companion_agent.updates.store import Releases
    from stack.releases import Maker

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="updates work on Linux only so far"),
    pytest.mark.proves("agent.update"),
]


class Host:
    """An agent that can be updated, without the rest of it."""

    def __init__(self, config: UpdateConfig, folder: Path, launched: Launched) -> None:
        self.clock = PassingClock()
        self.online = True
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.updater = Updater(config, folder, launched, self.clock)
        self.updater.start(
            lambda _, event_type, data: self.told.append((event_type, data)), lambda: self.online
        )
        self.loop = ManualEventLoop(self.clock)
        self.loop.spawn(self.updater.run())

    @property
    def said(self) -> dict[str, Any]:
        return update_fields(self.updater.offer["update"])

    def until(self, done: Callable[[], object]) -> None:
        self.loop.until(done)

    def step(self, *, online: bool = True) -> None:
        """Let the updater see whether the host is online, and do what is due."""
        self.online = online
        self.updater.look_again()
        self.loop.settle()

    def install(self, version: str = "", **options: Any) -> str:
        """Install a version, and return why that did not work."""
        self.updater.ask(version, **options)
        self.until(lambda: self.updater.restart or self.failure)
        return self.failure

    @property
    def failure(self) -> str:
        return next((str(data["reason"]) for kind, data in self.told if kind == "failed"), "")


class SlowIndex:
    """An index whose wheel comes half, and then no further.

    Args:
        wheel: The wheel; what is signed about it lies beside it.
    """

    def __init__(self, wheel: Path) -> None:
        self.stalled = threading.Event()
        ends = self._ends = threading.Event()
        stalled, name, content = self.stalled, wheel.name, wheel.read_bytes()
        signed = wheel.with_name(f"{name}.json").read_bytes()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                if self.path.endswith(".json"):
                    answer = signed
                elif self.path.endswith(".whl"):
                    answer = content
                else:
                    answer = f'<a href="{name}">{name}</a>'.encode()
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if answer is content:
                    self.wfile.write(answer[:1000])
                    stalled.set()
                    ends.wait()
                else:
                    self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def config(maker: Maker) -> UpdateConfig:
    return UpdateConfig(str(maker.folder), (maker.public,))


@pytest.fixture
def make(config: UpdateConfig, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(release: str = "", probation: float = 0, **changes: Any) -> Host:
        command = ("python", "-m", "companion_agent", "run")
        launched = Launched(release, __version__, command, probation)
        changed = dataclasses.replace(config, **changes)
        made.append(Host(changed, tmp_path / "state", launched))
        return made[-1]

    yield make
    for host in made:
        host.loop.end()


@pytest.fixture
def host(make: Callable[..., Host]) -> Host:
    return make()


# --- Installing ------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["", "99.0.0"])
def test_a_release_is_installed(asked: str, host: Host, maker: Maker, releases: Releases) -> None:
    maker.make("99.0.0")

    assert not host.install(asked)

    trial = releases.state().trial
    assert trial
    assert (trial.version, trial.limit) == ("99.0.0", 120)
    assert host.told[0] == ("progress", {"version": asked, "step": "downloading", "percent": 0})
    within = {"version": "99.0.0", "step": "restarting", "percent": 100, "within": 240}
    assert host.told[-1] == ("progress", within)


@pytest.fixture
def tried(host: Host, make: Callable[..., Host], maker: Maker) -> Host:
    """A release that its base's supervisor keeps an eye on."""
    maker.make("99.0.0")
    host.install()
    return make("99.0.0", probation=60)


def online_for(host: Host, seconds: float) -> None:
    host.step()
    host.clock.advance(seconds)
    host.step()


def test_a_release_is_kept_when_it_stays_online(tried: Host, releases: Releases) -> None:
    online_for(tried, 59)
    assert tried.said["trial"] is True
    assert releases.state().online

    online_for(tried, 1.5)

    assert "trial" not in tried.said
    assert releases.state().current == "99.0.0"
    assert not releases.state().online


def test_only_the_time_online_counts(tried: Host, releases: Releases) -> None:
    for _ in range(3):
        online_for(tried, 19)
        tried.step(online=False)
        tried.clock.advance(1000)

    assert releases.state().trial


def test_a_release_is_quiet_until_it_has_been_online_for_a_while(tried: Host) -> None:
    assert tried.updater.quiet
    online_for(tried, module.QUIET - 1)
    assert tried.updater.quiet

    online_for(tried, 1.5)

    assert not tried.updater.quiet


def test_the_event_loop_is_woken_when_a_release_has_passed(tried: Host) -> None:
    tried.step()

    tried.clock.advance(module.QUIET)
    tried.loop.settle()

    assert not tried.updater.quiet


def test_what_cannot_be_written_down_is_tried_again(
    tried: Host, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr("companion_agent.updates.store.files.write", full)
        tried.step()
    assert not releases.state().online

    online_for(tried, module._AGAIN)

    assert releases.state().online


def test_a_release_that_has_run_for_a_while_is_started_anew(
    tried: Host, make: Callable[..., Host], releases: Releases
) -> None:
    online_for(tried, 61)
    with releases.change() as state:
        state.starts = 3
    kept = make("99.0.0")
    kept.clock.advance(59)
    kept.loop.settle()
    assert releases.state().starts == 3

    kept.clock.advance(1)
    kept.loop.settle()

    assert releases.state().starts == 0


def test_below_a_base_without_a_supervisor_a_release_is_confirmed_when_it_is_online(
    host: Host, make: Callable[..., Host], maker: Maker, releases: Releases
) -> None:
    maker.make("99.0.0")
    host.install()
    tried = make("99.0.0")
    assert tried.said["trial"] is True
    tried.online = False
    tried.loop.settle()
    assert releases.state().trial

    tried.online = True
    tried.updater.look_again()
    tried.loop.settle()

    assert "trial" not in tried.said
    assert releases.state().current == "99.0.0"


def test_what_was_left_is_said(host: Host, make: Callable[..., Host], maker: Maker) -> None:
    maker.make("99.0.0")
    host.install()
    host.updater._releases.fail("99.0.0", "it was not online within 120 s")

    failed = {"version": "99.0.0", "reason": "it was not online within 120 s"}
    assert make().said == {"source": "folder", "failed": failed}


def test_not_downwards(host: Host, maker: Maker) -> None:
    maker.make("0.0.1")

    assert "is not newer than" in host.install("0.0.1")


def test_the_newest_may_be_the_one_that_runs(host: Host, maker: Maker) -> None:
    maker.make(__version__)

    assert "is not newer than" in host.install()


def test_downwards_when_it_is_asked_for_on_the_host(
    host: Host, maker: Maker, releases: Releases
) -> None:
    maker.make("0.0.1")

    assert not host.install("0.0.1", upwards=False)
    assert releases.state().trial


@pytest.mark.parametrize("broken", ["signature", "hash", "truncated", "gone", "python"])
def test_what_is_wrong_is_not_kept(
    broken: str, host: Host, maker: Maker, releases: Releases, tmp_path: Path
) -> None:
    wheel = maker.make("99.0.0", **({"requires_python": ">=4"} if broken == "python" else {}))
    signed = wheel.with_name(f"{wheel.name}.json")
    if broken == "signature":
        signed.write_text(signed.read_text().replace("99.0.0", "99.0.1"))
    elif broken == "hash":
        content = bytearray(wheel.read_bytes())
        content[777] ^= 1
        wheel.write_bytes(content)
    elif broken == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:-100])
    elif broken == "gone":
        wheel.unlink()

    assert host.install("99.0.0")
    assert not releases.state().trial
    assert not (releases.folder / "99.0.0").exists()
    assert not list(releases.folder.glob(".new-*"))


def test_a_full_disk(
    maker: Maker,
    releases: Releases,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    maker.make("99.0.0")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("companion_agent.updates.sources.Folder.copy", full)
    task = {
        "do": "install", "source": str(maker.folder), "version": "99.0.0", "upwards": True,
        "running": __version__, "keys": [maker.public.hex()], "releases": str(releases.folder),
    }  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(task)))

    subprocess_main.main()

    assert "the disk is full" in capsys.readouterr().out
    assert not list(releases.folder.glob("*99*"))


def test_a_power_cut_leaves_nothing_that_counts(
    make: Callable[..., Host], maker: Maker, releases: Releases
) -> None:
    wheel = maker.make("99.0.0")
    with SlowIndex(wheel) as index:
        host = make(source=index.address)
        host.updater.ask("99.0.0")
        host.step()
        index.stalled.wait(PATIENCE)
        process = host.updater._process
        assert process
        process.kill()
        process.wait(PATIENCE)
    assert list(releases.folder.glob(".new-*"))
    assert releases.pick(__version__, {}) is None

    again = make()
    assert not again.install("99.0.0")
    assert not list(releases.folder.glob(".new-*"))


def test_a_worker_that_takes_too_long_is_left(make: Callable[..., Host], maker: Maker) -> None:
    wheel = maker.make("99.0.0")
    with SlowIndex(wheel) as index:
        host = make(source=index.address)
        host.updater.ask("99.0.0")
        host.step()
        index.stalled.wait(PATIENCE)
        host.clock.advance(module.WORK_LIMIT)
        host.step()

        assert host.failure == f"it took longer than {module.WORK_LIMIT:.0f} s"
        # The next one is taken.
        host.updater.ask("99.0.0")


def test_a_worker_that_dies_is_said(make: Callable[..., Host], maker: Maker) -> None:
    wheel = maker.make("99.0.0")
    with SlowIndex(wheel) as index:
        host = make(source=index.address)
        host.updater.ask("99.0.0")
        host.step()
        index.stalled.wait(PATIENCE)
        assert host.updater._process
        host.updater._process.kill()

        host.until(lambda: host.failure)
    assert "without a word" in host.failure


@pytest.mark.parametrize("which", ["wheel", "signed"])
@pytest.mark.parametrize("made", ["pipe", "device"])
def test_what_is_no_plain_file_is_refused_and_blocks_no_later_update(
    which: str, made: str, host: Host, maker: Maker
) -> None:
    wheel = maker.make("99.0.0")
    path = wheel if which == "wheel" else wheel.with_name(f"{wheel.name}.json")
    good = path.read_bytes()
    path.unlink()
    if made == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    assert host.install("99.0.0") == f"{path} cannot be read: it is not a plain file"
    path.unlink()
    path.write_bytes(good)
    host.told.clear()
    assert not host.install("99.0.0")


def test_a_huge_file_is_read_up_to_its_size(host: Host, maker: Maker) -> None:
    wheel = maker.make("99.0.0")
    os.truncate(wheel, 1 << 40)

    assert "bytes instead of" in host.install("99.0.0")


# --- What is refused -------------------------------------------------------------------------


def test_two_updates_at_once(host: Host) -> None:
    host.updater.ask("99.0.0")
    with pytest.raises(CommandError, match="under way already"):
        host.updater.ask("99.1.0")
    host.loop.settle()
    with pytest.raises(CommandError, match="under way already"):
        host.updater.ask("99.1.0")


@pytest.mark.parametrize(
    ("version", "said"),
    [("../../etc", "not a version"), ("--help", "not a version"), (__version__, "runs already")],
)
def test_what_is_no_version(version: str, said: str, host: Host) -> None:
    with pytest.raises(CommandError, match=said):
        host.updater.ask(version)


def test_home_assistant_has_to_say_where(make: Callable[..., Host]) -> None:
    host = make(source="homeassistant")
    with pytest.raises(CommandError, match="install it there"):
        host.updater.ask("99.0.0")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": ()}, "it trusts no key; set update.keys"),
        ({"command": ()}, "was not started by"),
        ({"library": "packaging"}, "install pilot-agent"),
        ({"folder": "file"}, "cannot be written"),
    ],
    ids=str,
)
def test_an_agent_that_cannot_says_why(
    change: dict[str, Any],
    said: str,
    config: UpdateConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    (tmp_path / "file").touch()
    if library := change.get("library"):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name != library or None)
    launched = Launched("", "", change.get("command", ("python",)))
    host = Host(
        dataclasses.replace(config, keys=change.get("keys", config.keys)),
        tmp_path / change.get("folder", "state"),
        launched,
    )
    request.addfinalizer(host.loop.end)

    assert said in host.said["cannot"]
    with pytest.raises(CommandError, match="cannot be updated"):
        host.updater.ask("99.0.0")
    with pytest.raises(Unavailable):
        AgentPlugin(None, updater=host.updater).commands()  # type: ignore[arg-type]


def test_the_command_asks(host: Host, maker: Maker) -> None:
    maker.make("99.0.0")
    commands = AgentPlugin(None, updater=host.updater)  # type: ignore[arg-type]
    (command,) = commands.commands()
    assert command.key == "agent.update"

    commands.run(command.key, {"version": "99.0.0", "url": ""})
    host.until(lambda: host.updater.restart)


# --- Looking by itself -----------------------------------------------------------------------


def test_what_is_there_is_found(host: Host, maker: Maker) -> None:
    maker.make("99.0.0", notes="News")
    host.clock.advance(module.FIRST_LOOK)

    host.until(lambda: "newest" in host.said)

    assert host.said["newest"] == {"version": "99.0.0", "notes": "News"}
    assert not host.updater.restart


def test_a_source_that_is_away_is_said(make: Callable[..., Host], maker: Maker) -> None:
    host = make(source=str(maker.folder / "away"))
    host.clock.advance(module.FIRST_LOOK)

    host.until(lambda: "trouble" in host.said)
    assert "cannot be read" in host.said["trouble"]


def test_automatic_updates(make: Callable[..., Host], maker: Maker, releases: Releases) -> None:
    maker.make("99.0.0")
    host = make(automatic=True)
    host.clock.advance(module.FIRST_LOOK)
    host.until(lambda: host.updater.restart)
    releases.fail("99.0.0", "it hangs")

    again = make(automatic=True)
    again.clock.advance(module.FIRST_LOOK)
    again.until(lambda: "newest" in again.said)
    assert not again.updater.restart
    assert again.updater._waiting is None


def test_a_version_that_was_left_is_not_installed_by_itself_after_another_one(
    make: Callable[..., Host], maker: Maker, releases: Releases
) -> None:
    maker.make("99.0.0")
    for version in ("99.0.0", "99.1.0"):
        releases.begin(version, __version__, 120)
        releases.fail(version, "it hangs")
    host = make(automatic=True)
    host.clock.advance(module.FIRST_LOOK)

    host.until(lambda: "newest" in host.said)

    assert not host.updater.restart
    assert host.updater._waiting is None


# --- The terminal ----------------------------------------------------------------------------


class Terminal:
    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.heard.append(message)


def test_a_terminal_asks(host: Host, maker: Maker) -> None:
    maker.make("99.0.0")
    terminal: Any = Terminal()
    shown = host.updater.asked(terminal, {"do": "show"})
    assert (shown["running"], shown["from"]) == (__version__, str(maker.folder))
    assert host.updater.asked(terminal, {"do": "fly"}) == {
        "error": "the agent and this command are of different versions"
    }
    assert "error" in host.updater.asked(terminal, {"do": "back"})
    assert "error" in host.updater.asked(terminal, {"do": "install", "version": 1})
    assert "error" in host.updater.asked(terminal, {"do": "install", "version": ".."})

    assert host.updater.asked(terminal, {"do": "check"})["busy"]
    host.until(lambda: terminal.heard)
    assert terminal.heard[-1]["checked"]["newest"]["version"] == "99.0.0"
    assert host.updater.asked(terminal, {"do": "install", "version": ""})["busy"]
    host.until(lambda: host.updater.restart)
    assert terminal.heard[-1]["progress"]["step"] == "restarting"


def test_a_terminal_goes_back(make: Callable[..., Host]) -> None:
    host = make("99.0.0")
    terminal: Any = Terminal()

    assert host.updater.asked(terminal, {"do": "back"}) == {"to": __version__}
    assert host.updater.restart


def test_the_worker_is_a_program_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "companion_agent.updates.subprocess_main"],
        input='{"do": "check", "source": "/nowhere", "keys": []}',
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "/nowhere cannot be read" in done.stdout
