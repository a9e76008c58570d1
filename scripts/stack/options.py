"""The command line of ``scripts/demo``, read before and after its environment is there."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .console import StackError
from .paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

DEMO_NOTES = "demo.json"
"""What a demo notes of itself; where it lies, the folder is a demo's."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demo shall do."""

    check: bool
    fresh: bool
    port: int | None
    data: Path | None


def parse_demo(arguments: Sequence[str]) -> DemoOptions:
    """Read the command line; ends the program when it is wrong or asks for help."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Shows this computer as a device in a real Home Assistant of its own, "
        "with a broker and an agent that end with it.",
        epilog="Everything it needs and keeps lies below ~/.cache/pilot ($PILOT_CACHE).",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="wait until this computer's readings are in Home Assistant, print them and end "
        "with 0; or say what is missing and end with 1",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier demo has kept")
    parser.add_argument(
        "--port",
        type=_port,
        help="Home Assistant's port (8123, or another one where that is in use)",
    )
    parser.add_argument(
        "--data",
        type=_folder,
        metavar="FOLDER",
        help="keep the demo's data there, apart from that of other demos",
    )
    parsed = parser.parse_args(arguments)
    return DemoOptions(parsed.check, parsed.fresh, parsed.port, parsed.data)


def make_demo_folder(options: DemoOptions) -> Path:
    """Return the folder of a demo, which has no other use.

    Raises:
        StackError: It has one, or cannot be made.
    """
    folder = options.data or cache_dir() / "demo"
    another = "name another folder with --data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What a demo keeps there, --fresh deletes.
        if options.data and any(folder.iterdir()) and not (folder / DEMO_NOTES).exists():
            raise StackError(f"{folder} holds something else than a demo", another)
    except OSError as error:
        raise StackError(f"{folder} cannot be used: {error.strerror}", another) from None
    return folder


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("no folder is named")
    return Path(text).absolute()


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)
