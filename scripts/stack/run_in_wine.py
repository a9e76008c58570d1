"""A Windows program on a PC of its own: ``python3 -m stack.run_in_wine PROGRAM [ARGUMENT ...]``.

Its output is shown as it comes, and its exit code returned. `python` is CPython for Windows.
"""

from __future__ import annotations

import os
from pathlib import Path
import signal
import sys
import tempfile

from .console import StackError, fail
from .wine import WinePc


def main() -> int:
    """Run as a program."""
    # As Ctrl-C, so that the PC is switched off.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="pilot-wine-") as folder:
        try:
            with WinePc(Path(folder)) as pc, pc.open(*sys.argv[1:]) as process:
                assert process.stdout is not None
                while part := os.read(process.stdout.fileno(), 65536):
                    sys.stdout.buffer.write(part)
                    sys.stdout.buffer.flush()
                return process.wait()
        except StackError as error:
            fail(error)
            return 1


if __name__ == "__main__":
    sys.exit(main())
