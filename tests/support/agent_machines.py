r"""Machines to test with: a folder tree as the kernel of a real one shows it.

A machine is a text file in `tests/agent/machines`, one line for each file of the tree:

    # a comment
    path/to/file: its content, which gets a newline at its end
    path/to/file:
        lines of content,
        without these four blanks
    path/to/folder/
    path/to/link -> ../where/it/leads
    path/to/file: !error                  reading it fails, as a sleeping device's file does
    path/to/file: !utmp user:pid …        login records

and one line for each answer that the kernel gives to a call, and not in a file:

    !space POINT TOTAL USED FREE          bytes; blanks in the mount point are written as \040
    !ipv4 INTERFACE ADDRESS
    !mac INTERFACE ADDRESS                the address that the card was made with
    !wifi INDEX SIGNAL NETWORK

and, where a value is worth telling, what has to be read of the machine:

    !reads KEY VALUE                      the whole key of a reading, and its value as JSON
"""

from __future__ import annotations

import json
from pathlib import Path
import shutil
from typing import TYPE_CHECKING

from companion_agent.platforms.base import DiskUsage
from companion_agent.platforms.linux.platform import LinuxPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from companion_agent.models import Value

FOLDER = Path(__file__).parents[1] / "agent" / "machines"
MACHINES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))


class FakeMachine(LinuxPlatform):
    """A platform whose files are a test's own, to change while it runs.

    Attributes:
        root: Where the files are.
        space: What statvfs answers for a mount point; an `OSError` is raised.
        expected: What has to be read of it, by the whole keys of the readings.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.space: dict[str, DiskUsage | OSError] = {}
        self.expected: dict[str, Value] = {}
        self._addresses: dict[str, str] = {}
        self._permanent: dict[str, str] = {}
        self._networks: dict[int, tuple[str | None, float | None]] = {}
        self._network.ipv4 = self._addresses.get
        self._network.permanent_address = self._permanent.get
        self._wifi.ask = self._ask_wifi

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        file.write_bytes(content)

    def change(self, path: str, old: str, new: str) -> None:
        """Change a part of a file."""
        text = (self.root / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole folder."""
        file = self.root / path
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()

    def fail(self, path: str) -> None:
        """Make reading a file fail from now on."""
        file = self.root / path
        file.unlink(missing_ok=True)
        # A folder: the kernel answers EISDIR, and the reader cares only that it is an error.
        file.mkdir(parents=True)

    def files(self) -> list[str]:
        """List the files."""
        return sorted(
            str(file.relative_to(self.root)) for file in self.root.rglob("*") if file.is_file()
        )

    def connect(self, index: int, ssid: str | None, signal: float | None) -> None:
        """Let a Wi-Fi interface be in a network."""
        self._networks[index] = (ssid, signal)

    def disk_usage(self, point: str) -> DiskUsage:
        answer = self.space.get(point, DiskUsage(0, 0, 0))
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _ask_wifi(self, index: int) -> tuple[str | None, float | None]:
        try:
            return self._networks[index]
        except KeyError:
            raise OSError("no nl80211 here") from None

    def answer(self, call: str, *words: str) -> None:
        """Say what a call answers, or what has to be read."""
        if call == "space":
            point, *numbers = words
            total, used, free = map(int, numbers)
            self.space[point.replace("\\040", " ")] = DiskUsage(total, used, free)
        elif call == "ipv4":
            self._addresses[words[0]] = words[1]
        elif call == "mac":
            self._permanent[words[0]] = words[1]
        elif call == "wifi":
            self.connect(int(words[0]), words[2], float(words[1]))
        elif call == "reads":
            self.expected[words[0]] = json.loads(" ".join(words[1:]))
        else:
            raise ValueError(call)


def build(name: str, root: Path) -> FakeMachine:
    """Make the tree of a machine below a folder."""
    machine = FakeMachine(root)
    for entry, block in _entries((FOLDER / f"{name}.txt").read_text("utf-8")):
        if entry.startswith("!"):
            machine.answer(*entry[1:].split())
        elif " -> " in entry:
            path, _, target = entry.partition(" -> ")
            link = root / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        elif entry.endswith("/"):
            (root / entry).mkdir(parents=True, exist_ok=True)
        else:
            _file(machine, entry, block)
    return machine


def _entries(text: str) -> Iterator[tuple[str, list[str]]]:
    entry, block = "", []
    for line in text.splitlines():
        if line.startswith("    "):
            block.append(line[4:])
        elif line and not line.startswith("#"):
            if entry:
                yield entry, block
            entry, block = line, []
    yield entry, block


def _file(machine: FakeMachine, entry: str, block: list[str]) -> None:
    # The first ": " or the colon at the end: PCI addresses in paths have colons, too.
    path, _, content = entry.partition(": ") if ": " in entry else (entry[:-1], "", "")
    if content == "!error":
        machine.fail(path)
    elif content.startswith("!utmp "):
        machine.write(path, b"".join(map(_login, content.split()[1:])))
    else:
        lines = [content] if content else block
        machine.write(path, "".join(f"{line}\n" for line in lines).replace("\\0\n", "\0"))


def _login(words: str) -> bytes:
    user, _, pid = words.partition(":")
    record = (7).to_bytes(4, "little") + int(pid).to_bytes(4, "little") + bytes(36)
    record += user.encode().ljust(32, b"\0")
    return record.ljust(384, b"\0")
