"""Real hosts: Debian with systemd, logind and polkit, in containers."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any
import zipfile

from commanding import FakeHomeAssistant
from installing import DIST, NEWER, HostListener
import pytest

from companion_agent import __version__
from stack import system, toolchain
from stack.broker import Mosquitto
from stack.linux_host import SOURCE
from stack.locks import file_lock
from stack.nspawn import SUITES, SystemdHost, layer, why_not
from stack.paths import ROOT, cache_dir
from stack.process import Process, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    BuiltOnce = Callable[[str, Callable[[Path], None]], Path]

AGENT = "pilot-agent"
RULE = "/etc/polkit-1/rules.d/50-pilot-agent.rules"
HOST_PYTHONS = ("3.11", "3.13")
"""Those of Debian 12 and 13."""


class AgentHost:
    """A host, and what the agent's parts find and do inside it.

    Args:
        host: The host.
    """

    def __init__(self, host: SystemdHost) -> None:
        self.host = host

    def probe(self, user: str = AGENT) -> dict[str, Any]:
        found: dict[str, Any] = self._run(user, "probe")
        return found

    def locked(self, user: str = AGENT) -> bool | str:
        """Return whether a user has to log in first, or why that is not known."""
        found: bool | str = self._run(user, "locked")
        return found

    def power(self, action: str, delay: float = 0, user: str = AGENT) -> dict[str, str]:
        done: dict[str, str] = self._run(user, "power", action, str(delay))
        return done

    def session(self, action: str, user: str = AGENT) -> dict[str, str]:
        done: dict[str, str] = self._run(user, "session", action)
        return done

    def fix(self, user: str = AGENT) -> str:
        """Return the polkit rule that the agent asks for."""
        fix: str = self.probe(user)["power"]["shutdown"]["fix"]
        return fix[fix.index("//") :]

    def permit(self) -> None:
        """Do what the agent asks the administrator for, and wait until polkit has seen it."""
        self.host.write(RULE, self.fix())
        wait_for(lambda: not any(self.probe()["power"].values()), "the rule to be seen")

    def watch(self, folder: Path, seconds: float = 0) -> Process:
        """Watch what happens; it holds sleep and shutdown up for some seconds."""
        script = str(SOURCE / "tests/systemd/inside.py")
        command = self.host.command("python3", script, "watch", str(seconds), user=AGENT)
        return Process("watch", command, folder / "watch.log")

    def _run(self, user: str, *arguments: str) -> Any:
        script = str(SOURCE / "tests/systemd/inside.py")
        return json.loads(self.host.run("python3", script, *arguments, user=user).stdout)


def types(watch: Process) -> list[str]:
    """Return what a watch has seen."""
    lines = [line for line in watch.output().splitlines() if line.startswith("{")]
    return [json.loads(line)["type"] for line in lines]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the fleet: it takes as long as all other tests, and would run on without them."""
    items.sort(key=lambda item: "fleet" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def suite(request: pytest.FixtureRequest) -> str:
    """The Debian of the hosts; `both` runs a test on each."""
    return str(getattr(request, "param", SUITES[0]))


both = pytest.mark.parametrize("suite", SUITES, indirect=True)


@pytest.fixture
def make_host(tmp_path: Path, suite: str) -> Iterator[Callable[..., SystemdHost]]:
    """Make hosts that have booted, with nothing of the agent's; they are gone after the test."""
    if reason := why_not():
        pytest.skip(reason)
    made: list[SystemdHost] = []

    def make(name: str = "office-pc", **options: Any) -> SystemdHost:
        host = SystemdHost(tmp_path / f"host{len(made)}", name, **{"suite": suite, **options})
        made.append(host)
        return host.__enter__()

    yield make
    for host in made:
        host.remove()


@pytest.fixture
def make_agent_host(make_host: Callable[..., SystemdHost]) -> Callable[..., SystemdHost]:
    """Make hosts that can run the agent from this checkout."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the hosts borrow the libraries of this environment, made for Python 3.11")

    def make(**options: Any) -> SystemdHost:
        host = make_host(libraries=Path(sysconfig.get_path("purelib")), **options)
        host.add_user(AGENT, system_user=True)
        return host

    return make


@pytest.fixture
def agent_host(make_agent_host: Callable[..., SystemdHost]) -> AgentHost:
    """A host on which the agent's user may do nothing yet."""
    return AgentHost(make_agent_host())


# --- Installing ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> BuiltOnce:
    """Return a function that fills a folder once for all processes of a test run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def built_once(name: str, build: Callable[[Path], None]) -> Path:
        built, done = folder / name, folder / f"{name}.done"
        with file_lock(folder / f"{name}.lock", name):
            if not done.exists():
                built.mkdir(exist_ok=True)
                build(built)
                done.touch()
        return built

    return built_once


@pytest.fixture(scope="session")
def dist(built_once: BuiltOnce) -> Path:
    """Packages of this version and of a newer one, and the first a second time."""
    if reason := why_not():
        pytest.skip(reason)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("once is enough")
    return built_once("dist", _build_packages)


def _build_packages(folder: Path) -> None:
    kinds = ["deb", *(["rpm"] if shutil.which("rpmbuild") else [])]
    builds = [
        subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "deploy/packages.py"),
                "--fast",
                *wanted,
                "--output",
                str(output),
            ],
            env={**toolchain.clean_env(), "UV": toolchain.uv()},
        )
        for wanted, output in (
            (kinds, folder),
            (kinds, folder / "again"),
            ([*kinds, "--version", NEWER], folder),
        )
    ]
    assert [build.wait(200) for build in builds] == [0, 0, 0]


@pytest.fixture
def make_packaged_host(
    make_host: Callable[..., SystemdHost], built_once: BuiltOnce, dist: Path, suite: str
) -> Callable[..., SystemdHost]:
    """Make hosts whose disk was written with the package on it, as images are.

    It is installed once for each Debian: that is what takes time.
    """

    def install(folder: Path) -> None:
        (package,) = dist.glob(f"*_{__version__}_*.deb")
        layer(folder, suite, "dpkg", "--install", f"{DIST}/{package.name}", binds={DIST: dist})

    def make(**options: Any) -> SystemdHost:
        changes = built_once(f"packaged-{suite}", install) / "changes"
        return make_host(layers=[changes], binds={DIST: dist}, **options)

    return make


@pytest.fixture(scope="session")
def wheels(built_once: BuiltOnce) -> Path:
    """What a host without a network is installed from."""
    if why_not() or sys.version_info[:2] != (3, 11):
        pytest.skip("no systemd hosts here, or another Python has done it")
    return built_once("wheels", _download_wheels)


def _download_wheels(folder: Path) -> None:
    uv = toolchain.uv()
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)],
        check=True,
        env=toolchain.clean_env(),
    )
    (folder / ".gitignore").unlink(missing_ok=True)
    (agent,) = folder.glob("*.whl")
    for wheel in _libraries(agent).iterdir():
        shutil.copy(wheel, folder)


def _libraries(agent: Path) -> Path:
    """Return a folder with the wheels of all libraries of the agent, kept from run to run.

    It is named after what it depends on: what the agent requires, the lock file, the hosts.
    """
    requirements = ROOT / "requirements" / "agent.txt"
    machine = os.uname().machine
    common = [
        *("--only-binary", ":all:"),
        *(f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 28, 34)),
        f"--platform=manylinux2014_{machine}",
    ]
    with zipfile.ZipFile(agent) as packed:
        (metadata,) = (name for name in packed.namelist() if name.endswith("/METADATA"))
        lines = packed.read(metadata).decode().splitlines()
    required = [line for line in lines if line.startswith(("Requires-Dist:", "Requires-Python:"))]
    wanted = [*common, *HOST_PYTHONS, *required, requirements.read_text("utf-8")]
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    libraries = cache_dir() / "wheels" / digest
    with file_lock(cache_dir() / "locks" / f"wheels-{digest}", "the wheels of the libraries"):
        if not libraries.exists():
            part = libraries.with_name(f"{digest}.part")
            shutil.rmtree(part, ignore_errors=True)
            for python in HOST_PYTHONS:
                subprocess.run(
                    [
                        *(toolchain.uv(), "tool", "run", "--quiet", "pip", "download", "--quiet"),
                        *("--dest", str(part), "--python-version", python, *common),
                        *("--constraint", str(requirements)),
                        f"{agent}[i2c,setup,sound,update]",
                        # pipx wants one of its own.
                        "pip",
                    ],
                    check=True,
                    env=toolchain.clean_env(),
                )
            # It is built anew in each run.
            (part / agent.name).unlink()
            part.rename(libraries)
    return libraries


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    system.require("mosquitto")
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[HostListener]:
    listener = HostListener(broker)
    yield listener
    listener.close()


@pytest.fixture
def home_assistant(broker: Mosquitto) -> Iterator[FakeHomeAssistant]:
    with FakeHomeAssistant(broker) as home_assistant:
        yield home_assistant
