"""Keys at rest."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.protocol.validation import MAX_PAIRED
from companion_agent.security.key_store import (
    Controller,
    StoreError,
    TrustStore,
    dump,
    parse,
)
from companion_agent.security.keyring import KeyRing
from companion_agent.storage.files import append_private, make_private_folder, write_private
from companion_agent.storage.permissions import check_private, check_secret, strangers_in
from support.agent_security import HOST, NOW, PREFIX
from support.clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

HOME = Controller("4f1d2c3b5a697887", "Home", bytes(range(32)), NOW)
GUEST = Controller("0123456789abcdef", "Été 🏠", bytes(range(1, 33)), NOW + 0.5)

posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes are not Windows'")


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "state")


def test_what_is_saved_is_there_after_a_restart(store: TrustStore) -> None:
    store.save([HOME, GUEST])
    assert store.load() == [HOME, GUEST]


def test_a_host_that_was_never_paired_has_no_controllers(store: TrustStore) -> None:
    assert store.load() == []
    assert store.check() == []


@posix
def test_only_the_owner_may_read_it(store: TrustStore, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store.save([HOME])
    finally:
        os.umask(umask)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "trust.json").stat().st_mode & 0o777 == 0o600
    assert store.check() == []


@posix
def test_doctor_hears_about_open_files_and_how_to_close_them(
    store: TrustStore, tmp_path: Path
) -> None:
    store.save([HOME])
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "state" / "trust.json").chmod(0o644)
    folder, file = store.check()
    assert "is open to others (mode 755)" in folder.text
    assert folder.fix == f"chmod 700 {tmp_path / 'state'}"
    assert file.fix == f"chmod 600 {tmp_path / 'state' / 'trust.json'}"


@posix
def test_an_open_folder_is_closed_when_keys_are_kept_in_it(
    store: TrustStore, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    store.save([HOME])
    assert store.check() == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", b"[]", b'{"version": 0, "controllers": []}', dump([HOME, HOME]).encode()],
)
def test_a_damaged_file_is_reported_and_moved_aside(
    store: TrustStore, tmp_path: Path, content: bytes
) -> None:
    store.save([HOME])
    (tmp_path / "state" / "trust.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged.*pair this host again.*trust\.json\.damaged"):
        store.load()
    assert (tmp_path / "state" / "trust.json.damaged").read_bytes() == content
    # The next start finds nothing, but doctor still says what happened.
    assert store.load() == []
    assert "could not be read" in store.check()[0].text


def test_keys_of_a_newer_version_outlast_an_update_that_is_taken_back(
    store: TrustStore, tmp_path: Path
) -> None:
    newer, path = b'{"version": 2, "controllers": {}}', tmp_path / "state" / "trust.json"
    store.save([HOME])
    path.write_bytes(newer)

    with pytest.raises(StoreError, match="newer version of the agent; update it"):
        store.load()
    left = path.read_bytes()
    store.save([GUEST])

    assert left == newer
    assert path.with_name("trust.json.newer").read_bytes() == newer
    assert store.load() == [GUEST]


def test_a_file_that_cannot_be_read_stays_where_it_is(store: TrustStore, tmp_path: Path) -> None:
    (tmp_path / "state" / "trust.json").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"(cannot|may not) be read"):
        store.load()


def test_a_full_disk_leaves_the_old_keys(
    store: TrustStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save([HOME])

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StoreError, match="No space left"):
        store.save([HOME, GUEST])
    assert store.load() == [HOME]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["trust.json"]


entries = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just(HOME.id) | st.text() | st.none(),
        "name": st.just("Home") | st.text() | st.integers(),
        "secret": st.just("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=") | st.text() | st.none(),
        "since": st.just(NOW) | st.floats() | st.integers() | st.booleans() | st.text(),
    },
)


@given(st.lists(entries | st.none(), max_size=3))
def test_any_content_is_controllers_or_one_error(content: list[Any]) -> None:
    text = json.dumps({"version": 1, "controllers": content})
    try:
        controllers = parse(text.encode())
    except ValueError:
        return
    assert parse(dump(controllers).encode()) == controllers


@given(st.binary())
def test_any_bytes_are_one_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(content)


def test_secrets_do_not_show_in_logs() -> None:
    assert "secret" not in repr(HOME)


# --- The ring --------------------------------------------------------------------------------


@pytest.fixture
def ring(store: TrustStore) -> KeyRing:
    return KeyRing(store, PREFIX, HOST, clock=ManualClock(NOW))


def test_pairing_again_replaces_the_key(ring: KeyRing) -> None:
    ring.add(HOME.id, "Home", HOME.secret)
    before = ring.command_key(HOME.id)
    ring.add(HOME.id, "New home", GUEST.secret)
    assert ring.command_key(HOME.id) != before
    assert [known.name for known in ring.controllers] == ["New home"]


def test_controllers_are_found_by_id_and_name(ring: KeyRing) -> None:
    ring.add(HOME.id, "Home", HOME.secret)
    ring.add(GUEST.id, "Home", GUEST.secret)
    assert len(ring.find("Home")) == 2
    assert [known.id for known in ring.find(GUEST.id)] == [GUEST.id]
    assert ring.find("Hom") == []


def test_keys_that_cannot_be_kept_are_not_used(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("companion_agent.security.key_store.write_private", fail)
    with pytest.raises(StoreError):
        ring.add(HOME.id, "Home", HOME.secret)
    assert ring.ids == []


def test_the_number_of_controllers_is_limited(ring: KeyRing) -> None:
    for number in range(MAX_PAIRED):
        ring.add(f"{number:016x}", "Home", HOME.secret)
    with pytest.raises(StoreError, match="pilot-agent pair revoke"):
        ring.add("ffffffffffffffff", "Home", HOME.secret)


def test_a_damaged_file_does_not_stop_the_agent(
    store: TrustStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.save([HOME])
    (tmp_path / "state" / "trust.json").write_text("{")
    assert KeyRing(store, PREFIX, HOST).ids == []
    assert "pair this host again" in caplog.text


# --- Private files ---------------------------------------------------------------------------


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "state")
    for content in ("one", "two"):
        write_private(tmp_path / "state" / "file", content)
    append_private(tmp_path / "state" / "file", "!")
    assert (tmp_path / "state" / "file").read_text() == "two!\n"
    assert check_private(tmp_path / "state" / "file") == []


@pytest.mark.parametrize(
    ("sddl", "strangers"),
    [
        ("O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)", set()),
        ("O:S-1-5-21-1-2-3-1001D:PAI(A;ID;FA;;;SY)(A;ID;FA;;;S-1-5-21-1-2-3-1001)", set()),
        ("O:SYD:AI(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)", {"BU"}),
        ("O:SYD:(A;;FA;;;SY)(D;;FA;;;BU)(A;;FR;;;WD)", {"WD"}),
        ("O:SYD:(A;;FA;;;S-1-5-21-1-2-3-1002)", {"S-1-5-21-1-2-3-1002"}),
        ("O:SYD:NO_ACCESS_CONTROL", {"WD"}),
        ("O:SY", {"WD"}),
    ],
)
def test_windows_rules_are_read(sddl: str, strangers: set[str]) -> None:
    assert strangers_in(sddl) == strangers


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes")
@pytest.mark.parametrize(
    ("mode", "group", "complaint"),
    [
        (0o600, "own", ""),
        (0o640, "own", ""),
        (0o640, "other", "chmod 600"),
        (0o660, "own", "chmod 600"),
        (0o644, "own", "chmod 600"),
    ],
)
def test_a_file_that_a_person_wrote(tmp_path: Path, mode: int, group: str, complaint: str) -> None:
    """The agent's group may read it, as `setup` leaves it; no other user may."""
    folder, file = tmp_path / "state", tmp_path / "config.yaml"
    folder.mkdir()
    file.write_text("broker: {host: h, username: u, password: p}\n")
    file.chmod(mode)
    if group == "other":
        if os.geteuid():
            pytest.skip("only root can give a file to another group")
        os.chown(file, -1, 12345)
    problems = check_secret(file, folder)
    assert [problem.fix for problem in problems] == ([f"{complaint} {file}"] if complaint else [])
