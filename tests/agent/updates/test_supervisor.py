"""What stands between a release on trial and the service manager."""

from __future__ import annotations

import json
from pathlib import Path
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from companion_agent.updates.store import Failure, Releases
from support.event_loop import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

if sys.platform != "linux":
    pytest.skip("updates work on Linux only so far", allow_module_level=True)

from companion_agent.updates.supervisor import AGAIN

VERSION = "99.0.0"
ROOT = Path(__file__).parents[3]
BASE = "print('the base runs', flush=True)"
SLEEPS = "import time; time.sleep(60)"
# What the launcher does, with any program in the place of the release.
PROGRAM = """
import json, os, sys
sys.path[:] = {path!r}
from companion_agent.updates.launcher import _listen
from companion_agent.updates.supervisor import main
told = json.loads(sys.argv[1])
notified, address = _listen(os.environ)
child = os.fork()
if not child:
    os.setpgid(0, 0)
    os.environ["NOTIFY_SOCKET"] = address
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", told["release"]])
told |= {{"child": child, "notified": notified.fileno() if notified else -1}}
sys.argv[1] = json.dumps(told)
sys.exit(main())
"""


class Manager:
    """Hears what a service says, as systemd does.

    Args:
        folder: Where it listens.
    """

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096).decode():
            self.heard.append(message)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.address)
        self._thread.join(PATIENCE)
        self._socket.close()


class TrialStarter:
    """Starts programs as releases on trial."""

    def __init__(self, folder: Path) -> None:
        self.releases = Releases(folder / "releases")
        self.releases.begin(VERSION, "0.1.0", 120)
        with self.releases.change() as state:
            assert state.trial
            state.trial.starts, state.trial.boot = 1, self.releases.boot
        self._made: list[subprocess.Popen[str]] = []

    def start(
        self, release: str, left: float = 120, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        told = {
            "release": release,
            "folder": str(self.releases.folder),
            "version": VERSION,
            "limit": 120.0,
            "until": time.monotonic() + left,
            "command": [sys.executable, "-I", "-S", "-c", BASE],
        }
        started = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c"),
                PROGRAM.format(path=[str(ROOT), *sys.path]),
                json.dumps(told),
            ],
            env=dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._made.append(started)
        return started

    def run(self, release: str, left: float = 120) -> tuple[int, str]:
        """Return how it ended, and what was said."""
        started = self.start(release, left)
        said = started.communicate(timeout=PATIENCE)[0]
        return started.returncode, said

    def end(self) -> None:
        for one in self._made:
            if one.poll() is None:
                one.terminate()
            one.communicate(timeout=PATIENCE)


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[TrialStarter]:
    starter = TrialStarter(tmp_path)
    yield starter
    starter.end()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


@pytest.mark.parametrize(
    "release",
    [
        pytest.param("raise SystemExit(0)", id="as if all were well"),
        pytest.param("raise SystemExit(2)", id="bad configuration"),
        pytest.param("import os; os.abort()", id="crash"),
        pytest.param("import os; os.kill(os.getpid(), 9)", id="killed"),
        pytest.param(f"raise SystemExit({AGAIN})", id="another version"),
    ],
)
def test_when_a_release_on_trial_ends_the_base_goes_on(release: str, starter: TrialStarter) -> None:
    code, said = starter.run(release)

    assert code == 0
    assert said.endswith("the base runs\n")


@pytest.mark.parametrize(
    ("release", "ends"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(2)", 2),
        ("import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_after_the_trial_the_end_of_the_release_is_that_of_the_service(
    release: str, ends: int, starter: TrialStarter
) -> None:
    starter.releases.confirm(VERSION, "0.1.0")

    assert starter.run(release) == (ends, "")


def test_after_the_trial_another_version_can_be_started(starter: TrialStarter) -> None:
    starter.releases.confirm(VERSION, "0.1.0")

    assert starter.run(f"raise SystemExit({AGAIN})") == (0, "the base runs\n")


def test_what_is_not_online_in_time_is_ended(starter: TrialStarter) -> None:
    code, said = starter.run(SLEEPS, left=0)

    assert (code, said.splitlines()[-1]) == (0, "the base runs")
    failed = Failure(VERSION, "it was not online within 120 s")
    assert starter.releases.state().failed == failed


def test_a_state_that_cannot_be_read_is_no_end_of_the_trial(starter: TrialStarter) -> None:
    (starter.releases.folder / "state.json").write_text("{")

    assert starter.run("raise SystemExit(2)")[1].endswith("the base runs\n")


def test_what_a_release_leaves_behind_ends_with_it(starter: TrialStarter, tmp_path: Path) -> None:
    started = tmp_path / "started"
    starter.run(
        "import os, time\n"
        "if child := os.fork():\n"
        f"    open({str(started)!r}, 'w').write(str(child))\n"
        "else:\n    os.close(1); os.close(2); time.sleep(60)\n"
    )

    left_behind = Path(f"/proc/{started.read_text()}/stat")
    wait_until(lambda: not left_behind.exists() or ") Z " in left_behind.read_text())


def test_a_release_that_is_asked_to_end_may_be_tried_again(
    starter: TrialStarter, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    started = starter.start(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"open({str(ready)!r}, 'w').close()\n"
        "time.sleep(60)\n"
    )
    wait_until(ready.exists)

    started.send_signal(signal.SIGTERM)

    assert started.wait(PATIENCE) == 0
    trial = starter.releases.state().trial
    assert trial
    assert (trial.starts, trial.boot) == (0, "")


TELLS = """
import os, socket, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
manager.send(b"READY=1")
manager.send(b"STOPPING=1")
manager.send(b"STATUS=Connected")
time.sleep(60)
"""


def test_the_service_manager_hears_how_it_stands_but_not_that_it_ends(
    starter: TrialStarter, manager: Manager
) -> None:
    starter.start(TELLS, environment={"NOTIFY_SOCKET": manager.address})

    wait_until(lambda: "STATUS=Connected" in manager.heard)
    assert manager.heard == ["READY=1", "STATUS=Connected"]


def test_a_service_that_boots_with_a_trial_is_up_at_once(
    starter: TrialStarter, manager: Manager
) -> None:
    starter.start(SLEEPS, environment={"NOTIFY_SOCKET": manager.address})

    wait_until(lambda: manager.heard == ["READY=1"])


def test_one_that_falls_silent_is_ended_before_the_service_manager_does_it(
    starter: TrialStarter, manager: Manager
) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000"}
    started = starter.start(TELLS, environment=environment)

    assert started.communicate(timeout=PATIENCE)[0].endswith("the base runs\n")
    failed = Failure(VERSION, "it gave no sign of life for 3 s")
    assert starter.releases.state().failed == failed
    assert "WATCHDOG=1" in manager.heard


def test_another_process_cannot_speak_for_the_release(
    starter: TrialStarter, manager: Manager
) -> None:
    starter.start(
        f"import os\nif not os.fork():\n    {TELLS.strip().replace(chr(10), chr(10) + '    ')}\n"
        + TELLS.replace("Connected", "By itself"),
        environment={"NOTIFY_SOCKET": manager.address},
    )

    wait_until(lambda: "STATUS=By itself" in manager.heard)
    assert "STATUS=Connected" not in manager.heard
