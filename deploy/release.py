#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["cryptography>=42"]
# ///
"""Makes a release of the agent, and signs it.

    deploy/release.py new-key release.key           # draws a key, and prints its public half
    deploy/release.py make --key release.key        # dist/: the wheel, and what is signed about it
    deploy/release.py make --key release.key --integration   # and pilot.zip, which brings both

The files in the output folder are all that a file share needs; put into `pilot-agent/` on a web
server, with a page that links to the wheels, they are an index. Two runs on one commit with one
key write the same bytes.

Needs uv, for building the wheel, and the library cryptography: `uv run deploy/release.py …`.
"""

from __future__ import annotations

import argparse
import base64
from email.parser import BytesParser
import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from companion_agent.protocol.validation import MAX_NOTES  # noqa: E402  (as below)
from companion_agent.updates import release  # noqa: E402  (of this tree, not an installed one)

INTEGRATION = ROOT / "custom_components/pilot"
SHIPPED = "agent"
"""The folder in the integration that its release lies in."""


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Makes and signs a release of the agent.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fresh = commands.add_parser("new-key", help="draw a key to sign with")
    fresh.add_argument("key", type=Path, help="the file for it; it must not be there yet")
    fresh.set_defaults(command=lambda wanted: new_key(wanted.key))
    make = commands.add_parser("make", help="build and sign")
    make.add_argument("--key", type=Path, required=True, help="the file with the key (PEM)")
    make.add_argument("--notes", type=Path, help="a file that says what is new, in Markdown")
    make.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder for it")
    make.add_argument(
        "--integration", action="store_true", help="also make pilot.zip, which brings the release"
    )
    make.set_defaults(command=_make)
    wanted = parser.parse_args()
    wanted.command(wanted)
    return 0


def new_key(path: Path) -> None:
    """Draw a key."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:  # noqa: PTH123  (a descriptor)
        file.write(pem)
    print(f"update.keys: [{public_key(key)}]")


def public_key(key: Ed25519PrivateKey) -> str:
    """Return the public half as hosts are given it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def read_key(path: Path) -> Ed25519PrivateKey:
    """Read a key to sign with."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"{path} holds no key without a password: {error}")
    if not isinstance(key, Ed25519PrivateKey):
        sys.exit(f"{path} holds a key of another kind than Ed25519")
    return key


def _make(wanted: argparse.Namespace) -> None:
    notes = wanted.notes.read_text(encoding="utf-8") if wanted.notes else ""
    if len(notes) > MAX_NOTES:
        sys.exit(f"{wanted.notes} has more than {MAX_NOTES} characters")
    key = read_key(wanted.key)
    wanted.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pilot-release-") as folder:
        wheel = build(Path(folder))
        made = [wheel, sign(wheel, key, notes)]
        for path in made:
            shutil.copy(path, wanted.output)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            print(f"{digest}  {wanted.output / path.name}")
        if wanted.integration:
            print(pack_integration(wanted.output / "pilot.zip", made))
    print(f"signed with {public_key(key)}")


def build(folder: Path) -> Path:
    """Build the wheel; the build system gives all files the time that the variable says."""
    command = [os.environ.get("UV", "uv"), "build", "--quiet", "--wheel", "--out-dir"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    try:
        subprocess.run([*command, str(folder), str(ROOT)], check=True, env=environment)
    except FileNotFoundError:
        sys.exit("uv is not installed")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    (wheel,) = folder.glob("*.whl")
    return wheel


def sign(wheel: Path, key: Ed25519PrivateKey, notes: str = "") -> Path:
    """Write what is signed about a wheel beside it."""
    content = wheel.read_bytes()
    version = release.version_of(wheel.name)
    with zipfile.ZipFile(wheel) as opened:
        said = opened.read(f"pilot_agent-{version}.dist-info/METADATA")
    metadata = BytesParser().parsebytes(said)
    body = json.dumps(
        {
            "name": release.PROJECT,
            "version": version,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "requires_python": metadata.get("Requires-Python", ""),
            "requires": metadata.get_all("Requires-Dist", []),
            "notes": notes,
        },
        ensure_ascii=False,
    )
    public = key.public_key().public_bytes_raw()
    signature = base64.b64encode(key.sign(release.CONTEXT + body.encode())).decode()
    signed = {
        "pilot_release": release.FORMAT,
        "body": body,
        "signatures": {release.key_id(public): signature},
    }
    path = wheel.with_name(wheel.name + release.SUFFIX)
    path.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")
    # What no host would take is not to be published.
    manifest = release.open_signed(path.read_bytes(), {release.key_id(public): public})
    release.check_wheel(wheel, manifest)
    return path


def pack_integration(target: Path, release: list[Path]) -> Path:
    """Pack the integration's folder and the release, as Home Assistant's stores want it."""
    files = {
        path.relative_to(INTEGRATION).as_posix(): path
        for path in INTEGRATION.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.parent.name != SHIPPED
    }
    files |= {f"{SHIPPED}/{path.name}": path for path in release}
    moment = time.gmtime(epoch())[:6]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, moment)
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(member, files[name].read_bytes())
    return target


def epoch() -> int:
    """Return the time that all files get: the last commit's, unless the caller names one."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 1_767_225_600


if __name__ == "__main__":
    sys.exit(main())
