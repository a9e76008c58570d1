"""Files are written as a whole, privately, and never through a link."""

from __future__ import annotations

import os
from pathlib import Path
import stat
import sys
from typing import Never

import pytest

from companion_agent.storage import files

unix = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and pipes are not Windows'")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield
    os.umask(before)


# --- Writing -------------------------------------------------------------------------------------


@unix
@pytest.mark.usefixtures("umask")
def test_who_may_read_is_not_left_to_the_umask(tmp_path: Path) -> None:
    files.write(tmp_path / "private", "x")
    files.write(tmp_path / "open", b"x", mode=0o644)
    files.append_private(tmp_path / "log", "x")
    files.create_private(tmp_path / "empty")
    files.make_private_folder(tmp_path / "folder")

    modes = {path.name: f"{mode(path):o}" for path in tmp_path.iterdir()}
    assert {name: modes[name] for name in ("private", "open", "folder")} == {
        "private": "600",
        "open": "644",
        "folder": "700",
    }
    assert all(not mode(tmp_path / name) & 0o077 for name in ("log", "empty"))


def test_texts_are_utf_8_and_bytes_are_bytes(tmp_path: Path) -> None:
    files.write(tmp_path / "text", "Büro\n")
    files.write(tmp_path / "bytes", b"\r\n\xff")

    assert (tmp_path / "text").read_bytes() == "Büro\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\r\n\xff"


def test_json_is_read_again(tmp_path: Path) -> None:
    files.write_json(tmp_path / "file", {"version": 1, "name": "Büro"})

    assert files.read_json(tmp_path / "file") == {"version": 1, "name": "Büro"}
    assert files.read_versioned((tmp_path / "file").read_bytes(), 1)["name"] == "Büro"


@pytest.mark.parametrize("step", ["fsync", "replace", "give"])
def test_what_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    files.write(tmp_path / "file", "old")

    def fail(*_: object) -> Never:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr("companion_agent.storage.files.os.fsync", fail)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path / "file", "new", give=fail if step == "give" else None)

    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@unix
def test_file_and_folder_are_on_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def note(handle: int) -> None:
        place = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append("folder" if place == tmp_path else "file")
        real(handle)

    monkeypatch.setattr("companion_agent.storage.files.os.fsync", note)
    files.write(tmp_path / "file", "new")
    files.move(tmp_path / "file", tmp_path / "moved")

    assert synced == ["file", "folder", "folder"]


@unix
def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "file").symlink_to(target)
    (tmp_path / "log").symlink_to(target)

    files.write(tmp_path / "file", "new")
    with pytest.raises(OSError, match="symbolic links"):
        files.append_private(tmp_path / "log", "new")

    assert target.read_text() == "mine"
    assert not (tmp_path / "file").is_symlink()


@unix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files")
def test_what_root_writes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 4242, 4243)

    files.write(tmp_path / "file", "x")

    status = (tmp_path / "file").stat()
    assert (status.st_uid, status.st_gid) == (4242, 4243)


# --- Reading -------------------------------------------------------------------------------------


@unix
@pytest.mark.parametrize("make", ["mkfifo", "mkdir"], ids=["pipe", "folder"])
def test_only_plain_files_are_read(tmp_path: Path, make: str) -> None:
    getattr(os, make)(tmp_path / "odd")

    with pytest.raises(OSError, match=r"not a plain file|Is a directory"):
        files.read_bytes(tmp_path / "odd")


@unix
def test_a_pipe_is_not_waited_for_when_a_line_is_added(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")

    with pytest.raises(OSError, match="No such device"):
        files.append_private(tmp_path / "log", "x")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 11)

    with pytest.raises(OSError, match="too large"):
        files.read_bytes(tmp_path / "file", 10)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(ValueError, match="not JSON"):
        files.read_json(tmp_path / "file")


def test_a_file_that_is_open_elsewhere_is_replaced_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    # Windows alone waits for it.
    reader = path.open("rb")
    monkeypatch.setattr(files, "sleep", lambda _: reader.close())

    files.write_private(path, b"new")

    reader.close()
    assert path.read_bytes() == b"new"


def test_what_stays_open_elsewhere_is_waited_for_with_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Never:
        raise PermissionError(13, "Access denied")

    waited: list[float] = []
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "_FREE_WITHIN", 1.0)
    monkeypatch.setattr(files, "monotonic", lambda: sum(waited))
    monkeypatch.setattr(files, "sleep", waited.append)

    with pytest.raises(PermissionError):
        files.write_private(tmp_path / "state.json", b"new")

    assert sum(waited) == pytest.approx(1.0)
    assert list(tmp_path.iterdir()) == []
