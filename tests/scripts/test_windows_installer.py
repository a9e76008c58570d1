"""What the installer for Windows is made of, and what stores are told of it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any
import xml.etree.ElementTree as ET
import zipfile

import pytest
import segno

from companion_agent.service import windows
from companion_agent.service.changes import ServiceError
from stack import windows_installer

if TYPE_CHECKING:
    from types import ModuleType

DIGEST = "ab" * 32
URL = "https://github.com/pilot-home/pilot/releases/download/v1.2.3/pilot-agent-1.2.3-setup.exe"


@pytest.fixture
def build() -> Any:
    return windows_installer.builder()


@pytest.fixture
def stores(build: Any) -> Any:
    return build.stores


@pytest.fixture
def written(stores: Any, tmp_path: Path) -> Path:
    stores.write(tmp_path, stores.Installer("1.2.3", DIGEST, "2026-11-27"))
    return tmp_path


@pytest.fixture
def steps(build: Any) -> ModuleType:
    del build  # It puts the folder on the path.
    import steps

    return steps


# --- Stores: what their schemas ask for ----------------------------------------------------------

# schemas/JSON/manifests/v1.6.0 of microsoft/winget-cli: what is required, and patterns.
WINGET_REQUIRED = {
    "": {"DefaultLocale"},
    "installer": {"Installers"},
    "locale.en-US": {"PackageLocale", "Publisher", "PackageName", "License", "ShortDescription"},
}
WINGET_TYPES = {"": "version", "installer": "installer", "locale.en-US": "defaultLocale"}
WINGET_LIMITS = {"ShortDescription": 256, "Description": 10_000, "Moniker": 40, "License": 512}
IDENTIFIER = r'[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}(\.[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}){1,7}'


@pytest.mark.parametrize("kind", WINGET_REQUIRED)
def test_winget(written: Path, kind: str) -> None:
    name = "PilotHome.PilotAgent" + (f".{kind}" if kind else "") + ".yaml"
    manifest = json.loads((written / "winget" / name).read_text("utf-8"))

    common = {"PackageIdentifier", "PackageVersion", "ManifestType", "ManifestVersion"}
    assert common | WINGET_REQUIRED[kind] <= manifest.keys()
    assert re.fullmatch(IDENTIFIER, manifest["PackageIdentifier"])
    assert (manifest["PackageVersion"], manifest["ManifestVersion"]) == ("1.2.3", "1.6.0")
    assert manifest["ManifestType"] == WINGET_TYPES[kind]
    for key, most in WINGET_LIMITS.items():
        assert 3 <= len(manifest.get(key, "...")) <= most
    assert all(len(tag) <= 40 for tag in manifest.get("Tags", []))


def test_winget_finds_and_drives_the_installer(written: Path) -> None:
    text = (written / "winget/PilotHome.PilotAgent.installer.yaml").read_text("utf-8")
    manifest = json.loads(text)

    assert manifest["Installers"] == [
        {"Architecture": "x64", "InstallerUrl": URL, "InstallerSha256": DIGEST.upper()}
    ]
    script = (Path(windows_installer.builder().HERE) / "pilot-agent.nsi").read_text("utf-8")
    assert manifest["InstallerType"] == "nullsoft"
    assert rf"Uninstall\{manifest['ProductCode']}" in script
    codes = {int(code) for code in re.findall(r"!define CODE_\w+ (\d+)", script)}
    assert {one["InstallerReturnCode"] for one in manifest["ExpectedReturnCodes"]} <= {1, *codes}


def test_scoop(written: Path) -> None:
    manifest = json.loads((written / "scoop/pilot-agent.json").read_text("utf-8"))

    # schema.json of ScoopInstaller/Scoop: no other keys, and these required.
    known = {
        "architecture", "autoupdate", "checkver", "description", "homepage", "installer",
        "license", "notes", "pre_install", "uninstaller", "version",
    }  # fmt: skip
    assert {"version", "homepage", "license"} <= manifest.keys() <= known
    assert manifest["architecture"]["64bit"] == {"url": f"{URL}#/setup.exe", "hash": DIGEST}
    assert re.fullmatch(r"[a-fA-F0-9]{64}", DIGEST)
    assert set(manifest["uninstaller"]) == {"script"}


def test_chocolatey(written: Path) -> None:
    nuspec = ET.parse(written / "chocolatey/pilot-agent.nuspec").getroot()
    space = {"n": "http://schemas.microsoft.com/packaging/2015/06/nuspec.xsd"}
    told = {
        one.tag.partition("}")[2]: one.text or "" for one in nuspec.find("n:metadata", space) or []
    }

    # NuGet requires these four, the community's repository the others.
    assert {"id", "version", "description", "authors"} <= told.keys()
    assert {"projectUrl", "packageSourceUrl", "tags", "title", "summary"} <= told.keys()
    assert (told["id"], told["version"]) == ("pilot-agent", "1.2.3")
    script = (written / "chocolatey/tools/chocolateyinstall.ps1").read_text("utf-8")
    assert f"'{URL}'" in script
    assert f"checksum64     = '{DIGEST}'" in script
    assert (written / "chocolatey/tools/chocolateyuninstall.ps1").exists()


# --- Parts of the installer ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("1.2.3", "1.2.3.0"), ("0.2.0rc1", "0.2.0.0"), ("2.0", "2.0.0.0")],
)
def test_a_version_in_four_numbers(build: Any, version: str, numbers: str) -> None:
    assert build.numeric(version) == numbers


@pytest.mark.parametrize("version", ["v3.11", "v3.09-4", "v3.08-3+deb12u1"])
def test_an_nsis_with_closed_uninstallers_is_taken(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    add_makensis(tmp_path, monkeypatch, version)

    build.check_nsis()


@pytest.mark.parametrize("version", ["v3.08", "v3.08-2", "v2.51"])
def test_an_nsis_whose_uninstallers_others_can_take_over_is_refused(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    add_makensis(tmp_path, monkeypatch, version)

    with pytest.raises(SystemExit, match=f"makensis {re.escape(version)}.*install NSIS 3.09"):
        build.check_nsis()


def add_makensis(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Put a makensis first that says no more than its version."""
    program = folder / "makensis"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_launcher_finds_the_python_beside_it(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")

    made = build.launcher(b"MZ...", "pythonw.exe")

    assert made.startswith(b"MZ...#!<launcher_dir>\\pythonw.exe -I\nPK")
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        compile(archive.read("__main__.py"), "__main__.py", "exec")
    assert build.launcher(b"MZ...", "pythonw.exe") == made


def test_files_are_named_in_one_order(build: Any, tmp_path: Path) -> None:
    (tmp_path / "Lib").mkdir()
    files = [tmp_path / "Lib" / "a.py", tmp_path / "Lib" / "b.py", tmp_path / "python.exe"]

    assert build.file_list(tmp_path, files).splitlines() == [
        r'SetOutPath "$INSTDIR\app.new\Lib"',
        f'File "{files[0]}"',
        f'File "{files[1]}"',
        r'SetOutPath "$INSTDIR\app.new"',
        f'File "{files[2]}"',
    ]


def test_texts_are_there_in_both_languages(build: Any) -> None:
    sources = {path.name: path.read_text("utf-8") for path in Path(build.HERE).glob("*.ns*")}
    used = {name for text in sources.values() for name in re.findall(r"\$\(TEXT_(\w+)\)", text)}
    told = re.findall(
        r'^\$\{Text\} (\w+) (?:\\\n\s*)?"(.+?)" (?:\\\n\s*)?"(.+?)"$',
        sources["texts.nsh"],
        re.MULTILINE,
    )

    assert {name for name, _, _ in told} == used
    assert all(english and french for _, english, french in told)


# --- Steps ---------------------------------------------------------------------------------------


def test_a_step_tells_the_installer_and_the_log(
    steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(argument: str) -> int:
        print("à la\n ligne\nNothing was changed. --untested writes it all the same.")
        raise RuntimeError(argument)

    monkeypatch.setitem(steps.STEPS, "agent", step)
    log, said = tmp_path / "log", tmp_path / "said.txt"
    monkeypatch.setattr(sys, "argv", ["steps.py", str(log), str(said), "agent", "x"])

    assert steps.main() == 1

    assert said.read_text("utf-16-le").startswith("à la ligne Traceback")
    assert "agent x: 1\n    à la\n" in log.read_text("utf-8")


def test_the_log_holds_no_password(
    steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(steps.STEPS, "agent", lambda *_: 0)
    log = tmp_path / "log"
    call = ["setup", "--broker", "mqtts://pc:Sup3rS3cret@mqtt.local"]
    monkeypatch.setattr(sys, "argv", ["steps.py", str(log), str(tmp_path / "said"), "agent", *call])

    assert steps.main() == 0

    assert "agent setup --broker mqtts://***@mqtt.local: 0\n" in log.read_text("utf-8")


def test_a_folder_that_others_can_change_does_not_pass(
    steps: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> tuple[str, ...]:
        raise ServiceError("D:\\Pilot can be changed by others (AU)")

    monkeypatch.setattr(windows, "this_program", refuse)

    assert not steps._is_safe_here()
    assert "can be changed by others" in capsys.readouterr().out


def test_the_agents_own_end_is_the_steps(
    steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["steps.py", str(tmp_path / "no" / "log"), str(tmp_path / "said"), "agent"]
    monkeypatch.setattr(sys, "argv", [*argv, "--version"])
    assert steps.main() == 0
    assert (tmp_path / "said").read_text("utf-16-le").startswith("pilot-agent ")
    monkeypatch.setattr(sys, "argv", [*argv, "no-such-command"])
    assert steps.main() == 2


def test_only_programs_of_the_folder_are_ended(
    steps: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = [tmp_path / "app" / "helper", tmp_path / "app.new" / "helper"]
    for program in programs:
        program.parent.mkdir()
        shutil.copy(shutil.which("sleep") or "", program)
    ours, other = (subprocess.Popen([program, "60"]) for program in programs)

    try:
        assert steps.close(str(tmp_path / "app")) == 0

        assert ours.poll() is not None
        assert other.poll() is None
        assert f"ending {ours.pid}" in capsys.readouterr().out
    finally:
        other.kill()
        other.wait()


def test_a_prepared_configuration_keeps_the_one_before(steps: Any, tmp_path: Path) -> None:
    prepared, configuration = tmp_path / "prepared.yaml", tmp_path / "config.yaml"
    prepared.write_text("broker: new")
    configuration.write_text("broker: old")

    assert steps.adopt(str(prepared), str(configuration)) == 0
    assert steps.adopt(str(prepared), str(configuration)) == 0

    assert configuration.read_text() == "broker: new"
    assert (tmp_path / "config.yaml.old").read_text() == "broker: old"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"C:\Windows;%SystemRoot%\x;;", r"C:\Windows;%SystemRoot%\x;C:\Pilot\app"),
        (r"C:\Windows;c:\pilot\APP\;D:\x", r"C:\Windows;c:\pilot\APP\;D:\x"),
        ("", r"C:\Pilot\app"),
    ],
)
def test_the_path_gets_a_folder_once(steps: Any, before: str, after: str) -> None:
    assert steps.changed_path(before, r"C:\Pilot\app", add=True) == after


def test_the_path_loses_its_folder_and_nothing_else(steps: Any) -> None:
    before = r"C:\Windows;C:\Pilot\app;C:\Pilot\app2;"

    assert steps.changed_path(before, r"C:\Pilot\app", add=False) == r"C:\Windows;C:\Pilot\app2;"


def test_the_code_is_drawn_as_a_bitmap(steps: Any, tmp_path: Path) -> None:
    link = "https://my.home-assistant.io/redirect/config_flow_start/?domain=pilot#code=01234567"
    out = io.StringIO()
    files = steps.CodeFiles(tmp_path)
    files._out = out

    files.write(json.dumps({"code": "01234567", "link": link}))
    files.write("\n")
    files.write(json.dumps({"paired": "Home"}))

    assert (tmp_path / "code.txt").read_text("utf-16-le") == "0123 4567"
    assert out.getvalue() == "Paired with Home Assistant “Home”.\n"
    assert pixels(tmp_path / "code.bmp") == [
        [bool(dark) for dark in row]
        for row in segno.make(link, error="l", micro=False).matrix_iter(scale=4, border=4)
    ]


def pixels(path: Path) -> list[list[bool]]:
    """Read which pixels of a bitmap of one bit each are dark."""
    data = path.read_bytes()
    offset, width, height = (int.from_bytes(data[at : at + 4], "little") for at in (10, 18, 22))
    assert data[:2] == b"BM"
    assert int.from_bytes(data[2:6], "little") == len(data)
    stride = (width + 31) // 32 * 4
    rows = [data[offset + row * stride : offset + (row + 1) * stride] for row in range(height)]
    bits = ["".join(f"{byte:08b}" for byte in row)[:width] for row in reversed(rows)]
    return [[bit == "0" for bit in row] for row in bits]
