"""What the other tests here count on: a PC that starts, runs programs and loses its power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stack.console import StackError

if TYPE_CHECKING:
    from stack.wine import WinePc


@pytest.mark.native
def test_programs(pc: WinePc) -> None:
    said = pc.run(
        "python", "-c", "print(input())", text="bonjour à tous\n", env={"PYTHONUTF8": "1"}
    )
    assert said.stdout == "bonjour à tous\n"

    with pytest.raises(StackError, match="ended with 3"):
        pc.run("python", "-c", "raise SystemExit(3)")
    with pytest.raises(StackError, match=r"did not end within 0\.5 s"):
        pc.run("python", "-c", "import time; time.sleep(60)", timeout=0.5)
    assert pc.run("python", "-m", "companion_agent", "--version").stdout.startswith("pilot-agent ")


@pytest.mark.native
def test_it_is_windows_10(pc: WinePc) -> None:
    said = pc.run("python", "-c", "import sys; print(*sys.getwindowsversion()[:2])")

    assert said.stdout == "10 0\n"


def test_a_disk_outlives_a_power_cut_and_a_program_does_not(pc: WinePc) -> None:
    waiting = pc.start("python", "-c", "print('here', flush=True); input()")
    waiting.wait_for_output("here")
    key = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run"
    pc.run("reg", "add", key, "/v", "note", "/d", r"cmd /c echo started> C:\note")

    pc.power_cut()
    assert not waiting.running
    with pytest.raises(StackError, match="is off"):
        pc.run("cmd", "/c", "ver")

    pc.boot()
    pc.run("cmd", "/c", "type", r"C:\note")


def test_control_c(pc: WinePc) -> None:
    waiting = pc.start(
        "python", "-c",
        "import time\n"
        "print('here', flush=True)\n"
        "try:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('interrupted')",
    )  # fmt: skip
    waiting.wait_for_output("here")

    assert waiting.stop() == 0
    assert "interrupted" in waiting.output()
