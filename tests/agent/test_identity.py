"""Who this host is, through reinstallation, clones and damaged files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from companion_agent import identity
from companion_agent.identity import IdentityError
from support.agent_host import FakePlatform

if TYPE_CHECKING:
    from pathlib import Path


def the_id(folder: Path, platform: FakePlatform) -> str:
    return identity.host_id(folder, platform)  # type: ignore[arg-type]


def test_the_id_survives_a_reinstallation_of_the_agent(
    tmp_path: Path, platform: FakePlatform
) -> None:
    before = the_id(tmp_path / "before", platform)

    after = the_id(tmp_path / "after", platform)

    assert before == after
    assert re.fullmatch("[0-9a-f]{16}", before)


def test_the_id_tells_nothing_of_the_installation(tmp_path: Path, platform: FakePlatform) -> None:
    platform.installation = "0123456789abcdef0123456789abcdef"

    assert the_id(tmp_path, platform)[:8] not in platform.installation


def test_the_id_is_kept_when_the_installation_is_another(
    tmp_path: Path, platform: FakePlatform
) -> None:
    before = the_id(tmp_path, platform)
    platform.installation = "another"

    assert the_id(tmp_path, platform) == before


def test_a_host_without_an_installation_id_draws_one(tmp_path: Path) -> None:
    first = the_id(tmp_path / "a", FakePlatform(None))
    second = the_id(tmp_path / "b", FakePlatform(None))

    assert first != second
    assert the_id(tmp_path / "a", FakePlatform(None)) == first


@pytest.mark.parametrize("damage", [b"", b"\n", b"\xff\xfe", b"A B", b"short", b"x" * 65])
def test_a_damaged_file_is_made_anew(tmp_path: Path, platform: FakePlatform, damage: bytes) -> None:
    before = the_id(tmp_path, platform)
    (tmp_path / "host-id").write_bytes(damage)

    assert the_id(tmp_path, platform) == before
    assert (tmp_path / "host-id").read_text() == f"{before}\n"


def test_a_clone_gets_a_new_id(tmp_path: Path, platform: FakePlatform) -> None:
    before = the_id(tmp_path, platform)

    drawn = identity.new_host_id(tmp_path)

    assert drawn != before
    assert the_id(tmp_path, platform) == drawn


def test_looking_writes_nothing(tmp_path: Path, platform: FakePlatform) -> None:
    known = identity.known_host_id(tmp_path / "state", platform)  # type: ignore[arg-type]

    assert not (tmp_path / "state").exists()
    assert the_id(tmp_path, platform) == known


def test_a_state_folder_that_cannot_be_made(tmp_path: Path, platform: FakePlatform) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(IdentityError, match=r"cannot .* the .*file"):
        the_id(tmp_path / "file" / "state", platform)


def test_a_second_agent_is_told_who_is_there(tmp_path: Path) -> None:
    with (
        identity.only_agent(tmp_path),
        pytest.raises(IdentityError, match=r"another agent \(process \d+\) uses .*state_dir"),
        identity.only_agent(tmp_path),
    ):
        pass


def test_the_folder_is_free_after_the_agent(tmp_path: Path) -> None:
    with identity.only_agent(tmp_path):
        lock = next(tmp_path.iterdir())

    with identity.only_agent(tmp_path):
        assert lock.read_text().strip() == str(os.getpid())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_plain_file_is_left_alone(tmp_path: Path, what: str) -> None:
    other, lock = tmp_path / "other", tmp_path / "state" / "lock"
    other.write_text("of another")
    lock.parent.mkdir()
    match what:
        case "link":
            lock.symlink_to(other)
        case "pipe":
            os.mkfifo(lock)
        case _:
            lock.mkdir()

    with (
        pytest.raises(IdentityError, match=r"lock is not a plain file; delete it"),
        identity.only_agent(lock.parent),
    ):
        pass

    assert other.read_text() == "of another"


def test_every_start_has_its_session() -> None:
    sessions = {identity.new_session() for _ in range(100)}

    assert len(sessions) == 100
    assert all(re.fullmatch("[a-z0-9]{8,64}", session) for session in sessions)
