"""The installer for Windows: a file that Linux builds, on PCs that run, boot and lose power.

Wine gives every program all rights, has no SmartScreen and checks no signatures: what only a real
PC shows is in docs/windows-checklist.md.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("the installer is built on Linux", allow_module_level=True)

from stack import windows_installer
from stack.process import wait_for
from stack.releases import ENDS
from support.agent_host import HOST, PREFIX
from support.agent_mqtt import free_port

if TYPE_CHECKING:
    from stack.process import Process
    from stack.wine import WinePc
    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

HERE = Path(__file__).parent
PLAIN = str.maketrans({" ": "-", "\\": ""})
VERSION = "1.2.3"
# Unpacking, and up to eight starts of Python, on a machine that does other things as well.
LIMIT = 600.0
ENTRY = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall\pilot-agent"

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="session")
def setup_exe() -> Path:
    return windows_installer.installer(VERSION)


class InstallingPc:
    """A PC whose host is known before the agent is there.

    Args:
        pc: The PC.
        display: Where its windows are seen.
    """

    def __init__(self, pc: WinePc, display: str) -> None:
        self.pc = pc
        self._display = display
        self.settings = pc.drive / "ProgramData" / "pilot-agent"
        self.folder = pc.drive / "Program Files" / "Büro PC" / "Pilot Agent"
        (self.settings / "state").mkdir(parents=True)
        (self.settings / "state" / "host-id").write_text(HOST)
        # Wine waits ten seconds for a service to say that it is there, Windows thirty.
        patience = ("/v", "ServicesPipeTimeout", "/t", "REG_DWORD", "/d", "300000")
        pc.run("reg", "add", r"HKLM\System\CurrentControlSet\Control", *patience, "/f")

    def install(self, setup_exe: Path, *arguments: str) -> int:
        command = [str(setup_exe), "/S", *arguments, *self._places]
        return self.pc.run(*command, check=False, timeout=LIMIT).returncode

    def begin(self, setup_exe: Path) -> Process:
        """Start the installer with its pages."""
        return self.pc.start(str(setup_exe), *self._places)

    def page(self, says: str, *todo: str) -> str:
        """Wait for a page, do something with it, and return what it said."""
        program = self.pc.path(HERE / "wizard_page.py")
        if folder := os.environ.get("PILOT_ARTIFACTS"):
            self.pc.run("python", program, says, timeout=LIMIT)
            picture = Path(folder, f"installer {says.translate(PLAIN)}.png")
            shot = ["import", "-display", self._display, "-window", "root", str(picture)]
            subprocess.run(shot, check=True)
        return "\n".join(
            json.loads(self.pc.run("python", program, says, *todo, timeout=LIMIT).stdout)
        )

    @property
    def _places(self) -> list[str]:
        # What follows /D= is the folder as it is, without quotes: Wine would add some.
        into = rf"/D=C:\Program Files\{self.folder.parent.name}\{self.folder.name}".split(" ")
        return [f"/LOG={self.pc.path(self.pc.folder / 'setup.log')}", *into]

    def uninstall(self, *arguments: str) -> None:
        # With the folder named it waits for its own end, and so stays itself.
        program = self.folder / "uninstall.exe"
        where = f"_?=C:\\Program Files\\{self.folder.parent.name}\\{self.folder.name}".split(" ")
        self.pc.run(str(program), "/S", *arguments, *where, timeout=LIMIT)

    def entry(self, value: str) -> str:
        said = self.pc.run("reg", "query", ENTRY, "/v", value).stdout.split("\n")
        return next(line for line in said if value in line).split(maxsplit=2)[2].strip()

    @property
    def version(self) -> str:
        program = self.folder / "app" / "pilot-agent.exe"
        return self.pc.run(str(program), "--version").stdout

    @property
    def log(self) -> str:
        return (self.pc.folder / "setup.log").read_text("utf-8")


@pytest.fixture
def computer(pc: WinePc, display: str) -> InstallingPc:
    return InstallingPc(pc, display)


def test_a_life(
    computer: InstallingPc, setup_exe: Path, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant
) -> None:
    def said() -> list[bytes]:
        # An empty one is a trial of what the broker permits.
        return [
            payload
            for topic, payload in home_assistant.published
            if topic == f"{PREFIX}/availability" and payload
        ]

    wizard = computer.begin(setup_exe)
    computer.page("Welcome", "Next >")
    computer.page("License Agreement", "I Agree")
    assert r"Büro PC\Pilot Agent" in computer.page("Destination Folder", "Install")
    nothing = f"127.0.0.1:{free_port()}"
    computer.page("Which broker", f"0={nothing}", "Test connection")
    computer.page("nothing listens on port", f"0=127.0.0.1:{mosquitto.port}", "Test connection")
    computer.page("The broker responds as it should", "Next >")
    assert re.search(r"^\d{4} \d{4}$", computer.page("Waiting for", "Next >"), re.MULTILINE)
    computer.page("Completing", "Finish")
    wait_for(lambda: not wizard.running, "the installer's end", timeout=LIMIT)
    assert wizard.returncode == 0, computer.log
    home_assistant.wait_for("availability", b"online")
    assert computer.entry("DisplayVersion") == VERSION
    assert computer.entry("Publisher") == "Pilot maintainers"
    assert computer.entry("QuietUninstallString").endswith('uninstall.exe" /S')
    assert int(computer.entry("EstimatedSize"), 16) > 10_000
    assert computer.version == f"pilot-agent {VERSION}\n"

    # Over one that runs, and that misses a file.
    lost = computer.folder / "app" / "Lib" / "site-packages" / "companion_agent" / "runtime.py"
    lost.unlink()
    assert computer.install(setup_exe) == 0, computer.log
    home_assistant.wait_for("availability", b"online", 2)
    assert said() == [b"online", b"off", b"online"]
    assert lost.exists()
    assert not (computer.folder / "app.old").exists()

    # One whose service ends at once: the version before is back.
    broken = windows_installer.installer("9.9.9", ENDS)
    assert computer.install(broken) == 5, computer.log
    home_assistant.wait_for("availability", b"online", 3)
    assert computer.version == f"pilot-agent {VERSION}\n"
    assert computer.entry("DisplayVersion") == VERSION
    assert sorted(path.name for path in computer.folder.iterdir()) == ["app", "uninstall.exe"]

    computer.pc.power_cut()
    home_assistant.wait_for("availability", b"lost")
    computer.pc.boot()
    home_assistant.wait_for("availability", b"online", 4)

    computer.uninstall()
    home_assistant.wait_for("availability", b"off", 3)
    assert not (computer.folder / "app").exists()
    assert computer.pc.run("reg", "query", ENTRY, check=False).returncode
    assert (computer.settings / "config.yaml").exists()
    assert (computer.settings / "state" / "host-id").read_text() == HOST


def test_a_configuration_that_was_prepared_and_a_removal_of_everything(
    computer: InstallingPc,
    setup_exe: Path,
    mosquitto: Mosquitto,
    home_assistant: FakeHomeAssistant,
    tmp_path: Path,
) -> None:
    prepared = tmp_path / "prepared.yaml"
    parameter = f"/CONFIG={computer.pc.path(prepared)}"
    assert computer.install(setup_exe, parameter) == 4
    assert not computer.folder.exists()
    prepared.write_text("brocker: nowhere\n")
    assert computer.install(setup_exe, parameter) == 4, computer.log
    assert "did you mean broker?" in computer.log
    assert not computer.folder.exists()

    prepared.write_text(f"broker: 127.0.0.1:{mosquitto.port}\nname: Büro\n", "utf-8")
    assert computer.install(setup_exe, parameter) == 0, computer.log
    home_assistant.wait_for("availability", b"online")
    assert (computer.settings / "config.yaml").read_bytes() == prepared.read_bytes()

    computer.uninstall("/PURGE=1")
    home_assistant.wait_for("availability", b"off")
    assert not computer.settings.exists()


def test_a_broker_that_does_not_answer(computer: InstallingPc, setup_exe: Path) -> None:
    port = free_port()

    assert computer.install(setup_exe, f"/BROKER=127.0.0.1:{port}") == 4

    assert f"nothing listens on port {port}" in computer.log
    assert not computer.folder.exists()
    assert not (computer.settings / "config.yaml").exists()


def test_two_builds_are_the_same(setup_exe: Path, tmp_path: Path) -> None:
    again = windows_installer.build(tmp_path, VERSION)

    assert again.read_bytes() == setup_exe.read_bytes()
    for path in setup_exe.parent.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(setup_exe.parent)).read_bytes() == path.read_bytes()


def test_the_installer_is_signed_with_a_certificate(setup_exe: Path, tmp_path: Path) -> None:
    build = windows_installer.builder()
    certificate = _own_certificate(tmp_path)
    signed = tmp_path / "setup.exe"
    shutil.copy(setup_exe, signed)

    build.Signing(certificate, tmp_path / "password").sign(signed)

    verify = ["osslsigncode", "verify", "-CAfile", str(tmp_path / "own.pem"), "-in", str(signed)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert "Signature verification: ok" in done.stdout, done.stdout + done.stderr


def _own_certificate(folder: Path) -> Path:
    (folder / "password").write_text("s3cret\n")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=A certificate for tests", "-addext", "extendedKeyUsage=codeSigning"),
            *("-keyout", "own.key", "-out", "own.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *("openssl", "pkcs12", "-export", "-inkey", "own.key", "-in", "own.pem"),
            *("-out", "own.p12", "-passout", "file:password"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "own.p12"
