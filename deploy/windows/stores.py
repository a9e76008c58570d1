"""What winget, scoop and Chocolatey are told about an installer: files made of that very file."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from pathlib import Path

NAME = "Pilot Agent"
PUBLISHER = "Pilot maintainers"
HOMEPAGE = "https://github.com/pilot-home/pilot"
IDENTIFIER = "PilotHome.PilotAgent"
SHORT = "Reports a computer to Home Assistant over MQTT and runs what Home Assistant asks."
LONG = (
    "Pilot shows every computer you own as a device in Home Assistant: processor, memory, disks, "
    "network, battery and Wi-Fi, and whether it is on, asleep, off or lost. A Home Assistant that "
    "was paired with it may shut it down, restart it or send it to sleep."
)
TAGS = ("home-assistant", "home-automation", "monitoring", "mqtt")
WINGET_SCHEMA = "1.6.0"
UNINSTALL_KEY = "pilot-agent"
"""The name of the entry under Uninstall, which winget finds the installation by."""

# The installer's exit codes, by what winget has a word for.
CODES = {1: "cancelledByUser", 3: "systemNotSupported", 4: "invalidParameter", 6: "fileInUse"}


@dataclass(frozen=True)
class Installer:
    """An installer as it is published.

    Attributes:
        version: The agent's version.
        sha256: Its hash, in hexadecimal digits.
        released: The day, as `2026-11-27`.
    """

    version: str
    sha256: str
    released: str

    @classmethod
    def of(cls, path: Path, version: str, released: str) -> Installer:
        """Describe a file."""
        return cls(version, hashlib.sha256(path.read_bytes()).hexdigest(), released)

    @property
    def url(self) -> str:
        """Where the release has it."""
        return f"{HOMEPAGE}/releases/download/v{self.version}/pilot-agent-{self.version}-setup.exe"


def write(output: Path, installer: Installer) -> None:
    """Write the files of all three, each into a folder of its own."""
    for kind, manifest in winget(installer).items():
        name = IDENTIFIER + (f".{kind}" if kind else "") + ".yaml"
        # JSON is YAML, and needs no library for being written.
        _put(output / "winget" / name, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    _put(output / "scoop/pilot-agent.json", json.dumps(scoop(installer), indent=4) + "\n")
    for name, text in chocolatey(installer).items():
        _put(output / "chocolatey" / name, text)


def winget(installer: Installer) -> dict[str, dict[str, Any]]:
    """Return the three manifests: version (under an empty name), installer and default locale."""
    package = {"PackageIdentifier": IDENTIFIER, "PackageVersion": installer.version}
    return {
        "": {
            **package,
            "DefaultLocale": "en-US",
            "ManifestType": "version",
            "ManifestVersion": WINGET_SCHEMA,
        },
        "installer": {
            **package,
            "Platform": ["Windows.Desktop"],
            "MinimumOSVersion": "10.0.0.0",
            "InstallerType": "nullsoft",
            "Scope": "machine",
            "InstallModes": ["interactive", "silent"],
            "InstallerSwitches": {
                "Silent": "/S",
                "SilentWithProgress": "/S",
                "InstallLocation": "/D=<INSTALLPATH>",
                "Log": '/LOG="<LOGPATH>"',
            },
            "ExpectedReturnCodes": [
                {"InstallerReturnCode": code, "ReturnResponse": response}
                for code, response in CODES.items()
            ],
            "UpgradeBehavior": "install",
            "Commands": ["pilot-agent"],
            "ReleaseDate": installer.released,
            "ElevationRequirement": "elevatesSelf",
            "ProductCode": UNINSTALL_KEY,
            "Installers": [
                {
                    "Architecture": "x64",
                    "InstallerUrl": installer.url,
                    "InstallerSha256": installer.sha256.upper(),
                }
            ],
            "ManifestType": "installer",
            "ManifestVersion": WINGET_SCHEMA,
        },
        "locale.en-US": {
            **package,
            "PackageLocale": "en-US",
            "Publisher": PUBLISHER,
            "PublisherUrl": HOMEPAGE,
            "PackageName": NAME,
            "PackageUrl": HOMEPAGE,
            "License": "MIT",
            "LicenseUrl": f"{HOMEPAGE}/blob/main/LICENSE",
            "ShortDescription": SHORT,
            "Description": LONG,
            "Moniker": "pilot-agent",
            "Tags": list(TAGS),
            "ReleaseNotesUrl": f"{HOMEPAGE}/releases/tag/v{installer.version}",
            "ManifestType": "defaultLocale",
            "ManifestVersion": WINGET_SCHEMA,
        },
    }


def scoop(installer: Installer) -> dict[str, Any]:
    """Return scoop's manifest; the installer puts the program where it belongs itself."""
    needs = "if (!(is_admin)) { error 'An administrator installs Pilot Agent.'; break }"
    key = rf"HKLM:\Software\Microsoft\Windows\CurrentVersion\Uninstall\{UNINSTALL_KEY}"
    waits = "-Wait -PassThru"
    return {
        "version": installer.version,
        "description": SHORT,
        "homepage": HOMEPAGE,
        "license": "MIT",
        "notes": "Next, in a terminal of an administrator: pilot-agent setup",
        "architecture": {"64bit": {"url": f"{installer.url}#/setup.exe", "hash": installer.sha256}},
        "pre_install": needs,
        "installer": {
            "script": [
                f"$done = Start-Process \"$dir\\setup.exe\" -ArgumentList '/S' {waits}",
                'if ($done.ExitCode) { error "It ended with $($done.ExitCode)."; break }',
            ]
        },
        "uninstaller": {
            "script": [
                needs,
                f"$entry = Get-ItemProperty '{key}' -ErrorAction SilentlyContinue",
                "if ($entry) { $removal = $entry.UninstallString }",
                f"if ($entry) {{ Start-Process $removal -ArgumentList '/S' {waits} | Out-Null }}",
            ]
        },
        "checkver": "github",
        "autoupdate": {
            "architecture": {
                "64bit": {
                    "url": f"{HOMEPAGE}/releases/download/v$version/pilot-agent-$version-setup.exe"
                    "#/setup.exe"
                }
            }
        },
    }


def chocolatey(installer: Installer) -> dict[str, str]:
    """Return Chocolatey's files, by their names."""
    nuspec = f"""\
<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://schemas.microsoft.com/packaging/2015/06/nuspec.xsd">
  <metadata>
    <id>pilot-agent</id>
    <version>{escape(installer.version)}</version>
    <title>{escape(NAME)}</title>
    <authors>{escape(PUBLISHER)}</authors>
    <owners>{escape(PUBLISHER)}</owners>
    <projectUrl>{HOMEPAGE}</projectUrl>
    <packageSourceUrl>{HOMEPAGE}/tree/main/deploy/windows</packageSourceUrl>
    <projectSourceUrl>{HOMEPAGE}</projectSourceUrl>
    <docsUrl>{HOMEPAGE}/blob/main/docs/deployment.md</docsUrl>
    <bugTrackerUrl>{HOMEPAGE}/issues</bugTrackerUrl>
    <licenseUrl>{HOMEPAGE}/blob/main/LICENSE</licenseUrl>
    <releaseNotes>{HOMEPAGE}/releases/tag/v{escape(installer.version)}</releaseNotes>
    <requireLicenseAcceptance>false</requireLicenseAcceptance>
    <tags>{" ".join(TAGS)}</tags>
    <summary>{escape(SHORT)}</summary>
    <description>{escape(LONG)}</description>
  </metadata>
  <files>
    <file src="tools\\**" target="tools" />
  </files>
</package>
"""
    install = f"""\
$ErrorActionPreference = 'Stop'

# choco install pilot-agent --params "/BROKER:mqtt.local /USERNAME:pc /PASSWORD_FILE:C:\\pw"
$given = Get-PackageParameters
$silent = @('/S') + @($given.GetEnumerator() | ForEach-Object {{ "/$($_.Key)=`"$($_.Value)`"" }})

$package = @{{
    packageName    = 'pilot-agent'
    fileType       = 'exe'
    softwareName   = '{NAME}'
    url64bit       = '{installer.url}'
    checksum64     = '{installer.sha256}'
    checksumType64 = 'sha256'
    silentArgs     = $silent -join ' '
    validExitCodes = @(0)
}}
Install-ChocolateyPackage @package
"""
    removal = f"""\
$ErrorActionPreference = 'Stop'

[array]$found = Get-UninstallRegistryKey -SoftwareName '{NAME}'
foreach ($one in $found) {{
    $package = @{{
        packageName    = 'pilot-agent'
        fileType       = 'exe'
        file           = $one.UninstallString.Trim('"')
        silentArgs     = '/S'
        validExitCodes = @(0)
    }}
    Uninstall-ChocolateyPackage @package
}}
"""
    return {
        "pilot-agent.nuspec": nuspec,
        "tools/chocolateyinstall.ps1": install,
        "tools/chocolateyuninstall.ps1": removal,
    }


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
