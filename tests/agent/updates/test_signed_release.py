"""A release is taken only as its maker signed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import json
import platform
from typing import TYPE_CHECKING, Any
import zipfile

import pytest

from companion_agent.updates import compatibility
from companion_agent.updates.release import (
    MAX_SIGNED,
    ArtifactError,
    check_wheel,
    open_signed,
    parse_key,
    version_of,
)
from stack.releases import Maker

if TYPE_CHECKING:
    from pathlib import Path

Keys = Mapping[str, bytes]


def signed_of(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}.json")


def test_a_good_release(maker: Maker, keys: Keys) -> None:
    wheel = maker.make("1.2.3", notes="News")

    manifest = open_signed(signed_of(wheel).read_bytes(), keys)
    check_wheel(wheel, manifest)
    compatibility.check(manifest)

    assert (manifest.version, manifest.notes, manifest.wheel) == ("1.2.3", "News", wheel.name)


def test_another_key_does_not_count(maker: Maker, keys: Keys, tmp_path: Path) -> None:
    stranger = Maker(tmp_path / "stranger")
    wheel = stranger.make("1.2.3")

    with pytest.raises(ArtifactError, match="not signed with a key that this host trusts"):
        open_signed(signed_of(wheel).read_bytes(), keys)


def test_a_signature_under_another_keys_name_does_not_count(
    maker: Maker, keys: Keys, tmp_path: Path
) -> None:
    stranger = Maker(tmp_path / "stranger")
    signed = json.loads(signed_of(stranger.make("1.2.3")).read_bytes())
    (signature,) = signed["signatures"].values()
    signed["signatures"] = dict.fromkeys(keys, signature)

    with pytest.raises(ArtifactError, match="not signed with a key"):
        open_signed(json.dumps(signed).encode(), keys)


def test_without_keys_nothing_counts(maker: Maker) -> None:
    wheel = maker.make("1.2.3")

    with pytest.raises(ArtifactError, match=r"update\.keys"):
        open_signed(signed_of(wheel).read_bytes(), {})


@pytest.mark.parametrize(
    "change",
    [
        lambda signed: signed | {"body": signed["body"].replace("1.2.3", "9.9.9")},
        lambda signed: signed | {"signatures": dict.fromkeys(signed["signatures"], "AAAA")},
        lambda signed: signed | {"signatures": dict.fromkeys(signed["signatures"], "no base64!")},
        lambda signed: signed | {"signatures": dict.fromkeys(signed["signatures"], 7)},
        lambda signed: signed | {"signatures": {}},
    ],
)
def test_what_was_changed_afterwards_does_not_count(
    change: Callable[[Any], Any], maker: Maker, keys: Keys
) -> None:
    signed = json.loads(signed_of(maker.make("1.2.3")).read_bytes())

    with pytest.raises(ArtifactError, match="not signed with a key"):
        open_signed(json.dumps(change(signed)).encode(), keys)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (MAX_SIGNED + 1), "larger"),
        (b"{}", "a format"),
        (b'{"pilot_release": 2}', "a format"),
        (b'{"pilot_release": 1, "body": {}}', "no body"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_signed_file(content: bytes, said: str, keys: Keys) -> None:
    with pytest.raises(ArtifactError, match=said):
        open_signed(content, keys)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "other"}, "no release of pilot-agent"),
        ({"version": "../../etc"}, "no proper version"),
        ({"version": "01.2"}, "no proper version"),
        ({"size": 10**9}, "size"),
        ({"size": True}, "size"),
        ({"sha256": "x"}, "sha256"),
        ({"requires": "paho-mqtt"}, "requires"),
        ({"requires": ["x"] * 65}, "requires"),
        ({"requires_python": None}, "requires_python"),
    ],
    ids=str,
)
def test_a_maker_can_be_wrong_too(
    changed: dict[str, Any], said: str, maker: Maker, keys: Keys
) -> None:
    wheel = maker.make("1.2.3", **changed) if "version" not in changed else maker.make("1.2.3")
    if "version" in changed:
        maker.sign(wheel, changed["version"])

    with pytest.raises(ArtifactError, match=said):
        open_signed(signed_of(wheel).read_bytes(), keys)


# --- The wheel -------------------------------------------------------------------------------


def test_a_truncated_wheel(maker: Maker, keys: Keys) -> None:
    wheel = maker.make("1.2.3")
    manifest = open_signed(signed_of(wheel).read_bytes(), keys)
    wheel.write_bytes(wheel.read_bytes()[:-1])

    with pytest.raises(ArtifactError, match="instead of"):
        check_wheel(wheel, manifest)


def test_a_wheel_with_one_other_byte(maker: Maker, keys: Keys) -> None:
    wheel = maker.make("1.2.3")
    manifest = open_signed(signed_of(wheel).read_bytes(), keys)
    content = bytearray(wheel.read_bytes())
    content[1000] ^= 1
    wheel.write_bytes(content)

    with pytest.raises(ArtifactError, match="hash differs"):
        check_wheel(wheel, manifest)


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/evil",
        "companion_agent/../../evil.py",
        "/etc/evil",
        "yaml/__init__.py",
        "companion_agent\\..\\evil.py",
        "companion_agent/fast.so",
        "companion_agent/__pycache__/cli.cpython-311.pyc",
    ],
)
def test_a_wheel_with_what_does_not_belong_there(name: str, maker: Maker, keys: Keys) -> None:
    wheel = maker.make("1.2.3", {name: ""})
    manifest = open_signed(signed_of(wheel).read_bytes(), keys)

    with pytest.raises(ArtifactError, match=r"not the agent's|not pure"):
        check_wheel(wheel, manifest)


def test_a_wheel_without_a_program(maker: Maker, keys: Keys) -> None:
    wheel = maker.make("1.2.3")
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("companion_agent/__init__.py", "")
    manifest = open_signed(maker.sign(wheel, "1.2.3").read_bytes(), keys)

    with pytest.raises(ArtifactError, match=r"no companion_agent/cli/__init__\.py"):
        check_wheel(wheel, manifest)


def test_what_is_no_wheel(maker: Maker, keys: Keys) -> None:
    wheel = maker.make("1.2.3")
    wheel.write_bytes(b"no archive")
    manifest = open_signed(maker.sign(wheel, "1.2.3").read_bytes(), keys)

    with pytest.raises(ArtifactError, match="is no wheel"):
        check_wheel(wheel, manifest)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pilot_agent-1.2.3-py3-none-any.whl", "1.2.3"),
        ("pilot_agent-1.2.0rc1-py3-none-any.whl", "1.2.0rc1"),
        ("pilot_agent-1.2.3-cp311-cp311-linux_x86_64.whl", ""),
        ("pilot_agent-1.2.3.tar.gz", ""),
        ("other-1.2.3-py3-none-any.whl", ""),
        ("pilot_agent-..-py3-none-any.whl", ""),
    ],
)
def test_the_version_in_a_name(name: str, version: str) -> None:
    assert version_of(name) == version


@pytest.mark.parametrize(("text", "said"), [("%", "base64"), ("AAAA", "3 bytes")])
def test_what_is_no_key(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_key(text)


# --- Whether it runs here --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"requires_python": ">=4"},
            f"version 1.2.3 needs Python >=4, and this host has {platform.python_version()}",
        ),
        (
            {"requires": ["paho-mqtt>=900", "no-such-library", "voluptuous"]},
            r"needs paho-mqtt>=900 \(.* is installed\), no-such-library \(it is not installed\);",
        ),
        ({"requires": ["?"]}, "not clear"),
        ({"requires_python": "?"}, "not clear"),
    ],
    ids=str,
)
def test_what_does_not_run_here(
    changed: dict[str, Any], said: str, maker: Maker, keys: Keys
) -> None:
    wheel = maker.make("1.2.3", **changed)
    manifest = open_signed(signed_of(wheel).read_bytes(), keys)

    with pytest.raises(ArtifactError, match=said):
        compatibility.check(manifest)


def test_libraries_of_extras_and_other_systems_are_not_needed(maker: Maker, keys: Keys) -> None:
    requires = ["nothing; extra == 'i2c'", "nothing; sys_platform == 'aix'"]
    wheel = maker.make("1.2.3", requires=requires)

    compatibility.check(open_signed(signed_of(wheel).read_bytes(), keys))


def test_versions_are_compared_as_such() -> None:
    assert compatibility.newer("0.10.0", "0.9.9")
    assert not compatibility.newer("1.0.0rc1", "1.0.0")
    assert compatibility.highest(["0.9.0", "0.10.0"]) == ["0.10.0", "0.9.0"]
    with pytest.raises(ArtifactError):
        compatibility.newer("new", "0.1.0")
