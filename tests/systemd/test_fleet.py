"""Many hosts by one playbook: three hosts, Ansible over ssh, on a network of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
import json
import re
import secrets
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any
import urllib.request

from installing import CONFIG, NEWER, STATE, add, drop_in, left_behind, show
import pytest

from companion_agent import __version__
from companion_agent.security.key_store import Controller, TrustStore
from stack import ansible, system, toolchain
from stack.netns import Lan, Network
from stack.paths import ROOT
from stack.process import Process, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stack.nspawn import SystemdHost

EXAMPLE = ansible.COLLECTION / "examples" / "inventory" / "group_vars" / "all" / "main.yml"
# One way to bring the program for each host, and both Debians.
SUITES = {"house-broker": "bookworm", "office-pc": "trixie", "site-server": "bookworm"}


@dataclass
class PlaybookResult:
    """What became of a playbook.

    Attributes:
        code: How it ended.
        text: What it said.
    """

    code: int
    text: str

    @property
    def changed(self) -> dict[str, int]:
        """How much was changed, by host; hosts that it did not come to are left out."""
        found = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", self.text, re.MULTILINE)
        return {host: int(number) for host, number in found}


class Fleet:
    """Three hosts, and the controller's folder."""

    def __init__(self, folder: Path, hosts: Mapping[str, SystemdHost], lan: Lan) -> None:
        self.folder = folder
        self.hosts = hosts
        self.broker = hosts["house-broker"].network
        self.gateway = f"{lan.subnet}.1"
        self.inventory = folder / "inventory"

    def play(self, playbook: str, *arguments: str) -> PlaybookResult:
        command = [
            ansible.program("ansible-playbook"),
            *("--inventory", str(self.inventory), "--diff"),
            *("--vault-password-file", str(self.folder / "vault-password")),
            f"pilot_home.fleet.{playbook}",
            *arguments,
        ]
        env = ansible.env() | {
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_PIPELINING": "True",
            # Sockets have short names, and two test runs their own.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
        }
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            cwd=self.folder,
            env=toolchain.clean_env(**env),
        )
        result = PlaybookResult(done.returncode, done.stdout + done.stderr)
        print(result.text)
        return result

    def roll_out(self, *arguments: str, serial: str = "100%") -> PlaybookResult:
        return self.play("site", "-e", json.dumps({"pilot_serial": [serial]}), *arguments)

    def set(self, old: str, new: str) -> None:
        """Change what the controller says of all hosts."""
        for name in ("group_vars/all/main.yml", "hosts.json"):
            path = self.inventory / name
            path.write_text(path.read_text().replace(old, new))

    def versions(self) -> dict[str, str]:
        # Hosts of this bench see the checkout as well.
        asked = ("env", "-u", "PYTHONPATH", "pilot-agent", "--version")
        return {name: host.run(*asked).stdout.split()[-1] for name, host in self.hosts.items()}

    def logins(self) -> set[str]:
        host = self.hosts["house-broker"]
        lines = host.run("cat", "/etc/mosquitto/pilot.passwords").stdout.splitlines()
        return {line.split(":")[0] for line in lines}

    def kept(self) -> dict[str, tuple[str, ...]]:
        """Return what must stay whatever is rolled out: ids, keys, and what was written by hand."""
        return {
            name: tuple(
                host.run("sh", "-c", command).stdout
                for command in (
                    f"cat {STATE}/host-id {STATE}/trust.json",
                    f"grep mine {CONFIG}",
                    f"stat -c '%a %U' {STATE} {STATE}/trust.json",
                )
            )
            for name, host in self.hosts.items()
        }


@pytest.fixture
def newer_wheels(wheels: Path, tmp_path: Path) -> Path:
    """The same folder with a newer version of the agent."""
    folder, tree = tmp_path / "newer", tmp_path / "tree"
    shutil.copytree(wheels, folder, ignore=shutil.ignore_patterns("pilot_agent-*"))
    shutil.copytree(ROOT / "companion_agent", tree / "companion_agent")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    init = tree / "companion_agent/__init__.py"
    init.write_text(init.read_text().replace(f'"{__version__}"', f'"{NEWER}"'))
    command = [toolchain.uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(tree)]
    subprocess.run(command, check=True, env=toolchain.clean_env())
    return folder


@pytest.fixture
def fleet(
    make_host: Callable[..., SystemdHost],
    dist: Path,
    wheels: Path,
    newer_wheels: Path,
    tmp_path: Path,
) -> Iterator[Fleet]:
    if not Network.available():
        pytest.skip("no network namespaces here")
    system.require("ssh", "openssl")
    with ExitStack() as stack:
        lan = stack.enter_context(Lan())
        hosts = {
            name: make_host(name, suite=suite, network=stack.enter_context(Network(lan)))
            for name, suite in SUITES.items()
        }
        fleet = Fleet(tmp_path / "controller", hosts, lan)
        prepare(fleet, dist, wheels)
        stack.enter_context(index(fleet, wheels, newer_wheels))
        yield fleet


def prepare(fleet: Fleet, dist: Path, wheels: Path) -> None:
    """Let the controller in, and write what it knows: the example's variables, and the hosts."""
    inventory = fleet.inventory / "group_vars" / "all"
    inventory.mkdir(parents=True)
    key = fleet.folder / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True)
    public = key.with_suffix(".pub").read_text()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: let_in(host, public), fleet.hosts.values()))
    for source, name in ((dist, "dist"), (wheels, "wheels")):
        (fleet.folder / name).symlink_to(source)
    known = {
        name: {"ansible_host": host.network.address if host.network else ""}
        for name, host in fleet.hosts.items()
    }
    known["office-pc"] |= {"pilot_agent_source": "index", "pilot_agent_version": __version__}
    known["site-server"] |= {
        "pilot_agent_source": "wheels",
        "pilot_agent_wheels": str(fleet.folder / "wheels"),
    }
    groups: dict[str, Any] = {
        "pilot_brokers": {"hosts": {"house-broker": {}}},
        "pilot_agents": {"hosts": known},
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(key),
                "ansible_python_interpreter": "/usr/bin/python3",
                "pilot_agent_health_timeout": 30,
            }
        },
    }
    (fleet.inventory / "hosts.json").write_text(json.dumps(groups))
    (inventory / "main.yml").write_text(EXAMPLE.read_text())
    assert fleet.broker
    fleet.set("192.0.2.10", "mqtt.test")
    fleet.set("mqtt.example.org", fleet.broker.address)
    fleet.set("0.1.0", __version__)
    (fleet.folder / "vault-password").write_text(f"{secrets.token_hex(16)}\n")
    vault = inventory / "vault.yml"
    example = (ansible.COLLECTION / "examples/vault.example.yml").read_text()
    vault.write_text(re.sub('""', lambda _: json.dumps(random_secret()), example))
    encrypt = [ansible.program("ansible-vault"), "encrypt", "--vault-password-file"]
    subprocess.run(
        [*encrypt, str(fleet.folder / "vault-password"), str(vault)],
        check=True,
        capture_output=True,
        env=toolchain.clean_env(**ansible.env()),
    )


def random_secret() -> str:
    done = subprocess.run(
        ["openssl", "rand", "-base64", "32"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def let_in(host: SystemdHost, public: str) -> None:
    add(host, "openssh-server")
    host.run("mkdir", "-m", "700", "-p", "/root/.ssh")
    host.write("/root/.ssh/authorized_keys", public, mode=0o600)
    # The lists are as old as the cached Debian; without a network there are no newer ones.
    host.run("touch", "/var/lib/apt/lists")


@contextmanager
def index(fleet: Fleet, *folders: Path) -> Iterator[None]:
    """Serve a package index: a folder for each project, with its wheels."""
    root = fleet.folder / "index"
    for folder in folders:
        for wheel in folder.glob("*.whl"):
            project = root / re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
            project.mkdir(parents=True, exist_ok=True)
            if not (project / wheel.name).exists():
                (project / wheel.name).hardlink_to(wheel)
    port = free_port(None, fleet.gateway)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", fleet.gateway]
    url = f"http://{fleet.gateway}:{port}/"
    environment = {"PIP_INDEX_URL": url, "PIP_TRUSTED_HOST": fleet.gateway}
    variables = fleet.inventory / "group_vars" / "all" / "index.yml"
    variables.write_text(json.dumps({"pilot_agent_pip_environment": environment}))
    command += ["--directory", str(root)]
    with Process("index", command, fleet.folder / "index.log") as server:
        wait_for(lambda: answers(url), "the index", process=server)
        yield


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.timeout(2400)
def test_life_of_a_fleet(fleet: Fleet, newer_wheels: Path) -> None:
    before = {name: left_behind(host) for name, host in fleet.hosts.items()}

    # A look at blank hosts says that there is something to do, and does none of it.
    looked = fleet.roll_out("--check")
    assert looked.code == 0
    assert all(looked.changed.values())
    assert {name: left_behind(host) for name, host in fleet.hosts.items()} == before

    # One run, and all are online in the broker, each with a login of its own.
    assert fleet.roll_out().code == 0
    assert set(fleet.versions().values()) == {__version__}
    ids = {host.run("pilot-agent", "id").stdout.strip() for host in fleet.hosts.values()}
    assert len(ids) == 3
    assert fleet.logins() == ids | {"homeassistant"}

    # A second run changes nothing, whatever the hosts have become since.
    for host in fleet.hosts.values():
        pair(host, fleet.folder)
    kept = fleet.kept()
    again = fleet.roll_out()
    assert (again.code, set(again.changed.values())) == (0, {0})

    # A look tells what another variable would change.
    settings = json.dumps({"pilot_agent_settings": {"log": {"level": "debug"}}})
    looked = fleet.roll_out("--check", "-e", settings, "--limit", "site-server")
    assert looked.changed == {"site-server": 1}
    assert CONFIG in looked.text
    assert fleet.kept() == kept

    # An update stops at the first host that does not come online; one goes on with the old
    # version, whatever is installed.
    (fleet.folder / "wheels").unlink()
    (fleet.folder / "wheels").symlink_to(newer_wheels)
    fleet.set(__version__, NEWER)
    stubborn = fleet.hosts["office-pc"]
    old = stubborn.run("readlink", "-f", "/usr/local/bin/pilot-agent").stdout.strip()
    drop_in(stubborn, f"[Service]\nExecStart=\nExecStart={old} run\n")
    failed = fleet.roll_out(serial="1")
    assert failed.code
    assert f"was not online with version {NEWER} within 30 s: it runs {__version__}" in failed.text
    assert fleet.versions() == {
        "house-broker": NEWER,
        "office-pc": NEWER,
        "site-server": __version__,
    }

    # With the reason gone the next run does what is left.
    stubborn.run("rm", "-r", "/etc/systemd/system/pilot-agent.service.d")
    stubborn.run("systemctl", "daemon-reload")
    stubborn.run("systemctl", "restart", "pilot-agent")
    assert fleet.roll_out("--limit", "office-pc,site-server").code == 0
    assert set(fleet.versions().values()) == {NEWER}
    assert fleet.kept() == kept

    # Removing leaves what is the user's; purging leaves nothing but packages of the system.
    assert fleet.play("remove").code == 0
    assert fleet.kept() == kept
    for host in fleet.hosts.values():
        assert host.run("sh", "-c", "command -v pilot-agent", check=False).returncode
        assert show(host, "LoadState") == "not-found"
    purge = ("-e", "pilot_agent_purge=true")
    assert fleet.play("remove", *purge).code == 0
    assert {name: left_behind(host) for name, host in fleet.hosts.items()} == before
    assert fleet.logins() == {"homeassistant"}


def pair(host: SystemdHost, folder: Path) -> None:
    """Give a host keys of a Home Assistant, and a line written by hand."""
    TrustStore(folder / "trust").save([Controller("4f1d2c3b5a697887", "Home", bytes(32), 0)])
    host.write(f"{STATE}/trust.json", (folder / "trust/trust.json").read_text(), mode=0o600)
    host.run("chown", "pilot-agent:", f"{STATE}/trust.json")
    host.run("sh", "-c", f"grep -q mine {CONFIG} || echo '# mine' >> {CONFIG}")


def test_the_collection_is_installed_as_any_other(tmp_path: Path) -> None:
    """Built into an archive, with the files that are links in the checkout."""
    galaxy = ansible.program("ansible-galaxy")
    env = toolchain.clean_env(**ansible.env() | {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)})
    build = [galaxy, "collection", "build", str(ansible.COLLECTION), "--output-path", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, env=env)
    (archive,) = tmp_path.glob("*.tar.gz")
    install = [galaxy, "collection", "install", "--offline", str(archive), "-p", str(tmp_path)]
    subprocess.run(install, check=True, capture_output=True, env=env)
    installed = tmp_path / "ansible_collections/pilot_home/fleet"
    script = installed / "roles/pilot_agent/files/install.sh"
    assert script.read_text() == (ansible.COLLECTION.parent / "install.sh").read_text()
    for role in ("pilot_agent", "pilot_broker"):
        described = subprocess.run(
            [ansible.program("ansible-doc"), "-t", "role", f"pilot_home.fleet.{role}"],
            capture_output=True,
            text=True,
            check=True,
            env=env,
        )
        assert role in described.stdout


def test_the_example_is_an_inventory() -> None:
    inventory = ansible.COLLECTION / "examples" / "inventory"
    done = subprocess.run(
        [ansible.program("ansible-inventory"), "-i", str(inventory), "--list"],
        capture_output=True,
        text=True,
        check=True,
        env=toolchain.clean_env(**ansible.env()),
    )
    read = json.loads(done.stdout)
    assert set(read["pilot_agents"]["children"]) == {"house", "site", "vps"}
    assert read["pilot_brokers"]["hosts"] == ["house-broker"]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "pilot_agent_deb is not set"),
        ({"pilot_agent_source": "rpm"}, "must be one of: deb, wheels, index"),
        ({"pilot_agent_deb": "x.deb"}, "set pilot_broker_address"),
        (
            {
                "pilot_agent_deb": "x.deb",
                "pilot_broker_address": "a",
                "pilot_agent_broker_host": "b",
            },
            "pilot_agent_login_secret",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, variables: dict[str, str], problem: str) -> None:
    inventory = {"pilot_agents": {"hosts": {"here": {"ansible_connection": "local"}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    facts = {"ansible_become": False, "ansible_facts": {"service_mgr": "systemd"}}
    playbook = [
        {
            "hosts": "pilot_agents",
            "gather_facts": False,
            "vars": facts | variables,
            "roles": ["pilot_home.fleet.pilot_agent"],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(playbook))
    done = subprocess.run(
        [ansible.program("ansible-playbook"), "-i", "hosts.json", "play.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=toolchain.clean_env(**ansible.env()),
    )
    assert done.returncode
    assert problem in re.sub(r"\s+", " ", done.stdout + done.stderr)
