"""Files that others name: plain ones are read, the rest is refused at once."""

from __future__ import annotations

import os
from pathlib import Path
import socket
import sys

import pytest

from companion_agent.storage.plain import open_plain, read_plain

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")


def test_a_plain_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")

    assert read_plain(tmp_path / "link", 4) == b"0123"


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="it is not a plain file"):
        open_plain(tmp_path / "pipe")


def test_a_device_is_refused() -> None:
    with pytest.raises(OSError, match="it is not a plain file"):
        open_plain(Path("/dev/zero"))


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")

        with pytest.raises(OSError, match="it is not a plain file"):
            open_plain(tmp_path / "socket")


def test_a_pipe_that_takes_the_place_of_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    looked_at = (tmp_path / "file").stat()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(Path, "stat", lambda _: looked_at)

    with pytest.raises(OSError, match="it is not a plain file"):
        open_plain(tmp_path / "pipe")


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_plain(tmp_path)
