"""Output where the locale is not UTF-8: nothing fails, and what programs read is UTF-8."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
import subprocess
import sys

import pytest

from companion_agent.cli import main
from companion_agent.config.settings import LogConfig
from companion_agent.logs import set_up
from support.agent_host import WITHOUT_PACKAGE_MANAGERS

NAME = "Büro — Łódź 日本 → “x”"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    text = f"broker: localhost:1\nname: {NAME}\nstate_dir: {tmp_path / 'state'}\n"
    # Whole plug-ins, to read as little as doctor must.
    file.write_text(text, "utf-8")
    return file


def run(encoding: str, *arguments: str, locale: str = "") -> subprocess.CompletedProcess[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PILOT_")}
    clean |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **WITHOUT_PACKAGE_MANAGERS}
    clean |= {"LC_ALL": locale} if locale else {"PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-m", "companion_agent", *arguments],
        env=clean,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["doctor"],
        ["read"],
        ["read", "--json", "memory"],
        ["config", "check"],
        ["config", "show"],
        ["config", "schema"],
        ["id"],
        ["tuning"],
        ["pair"],
        ["pair", "list"],
        ["update", "--check"],
        ["setup", "--check", "--no-service", "--yes"],
        ["run", "--help"],
        ["migrate", "nowhere — →.yaml", "--dry-run"],
        ["completion", "bash"],
        ["doctor", "--config", "nowhere — →.yaml"],
    ],
    ids=" ".join,
)
def test_no_command_fails_by_what_it_prints(config: Path, arguments: list[str]) -> None:
    without = {"--help", "read", "schema", "completion", "nowhere — →.yaml"}
    more = [] if without & set(arguments) else ["--config", str(config)]

    done = run("ascii", *arguments, *more)

    assert b"Traceback" not in done.stderr
    assert b"UnicodeEncodeError" not in done.stderr
    assert done.stdout or done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp437"])
def test_tables_are_written_in_the_characters_that_there_are(config: Path, encoding: str) -> None:
    done = run(encoding, "doctor", "--config", str(config))

    # Of no pipe there is a code page that would say how it is read.
    table = done.stdout.decode("utf-8" if sys.platform == "win32" else encoding)
    assert done.stderr == b""
    assert "broker localhost:1" in table
    assert "collector memory" in table


@pytest.mark.parametrize("missing", ["stdout", "stderr"])
def test_a_program_without_streams_can_write(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """As in a service, and with `pythonw`."""
    monkeypatch.setattr(sys, missing, None)

    assert main([]) == 2
    set_up(LogConfig())
    logging.getLogger("companion_agent.disk").warning("/mnt/Büro cannot be read")


def test_a_locale_that_knows_only_ascii_is_enough(config: Path) -> None:
    done = run("", "doctor", "--config", str(config), locale="C")

    assert b"broker localhost:1" in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_json_is_utf8_whatever_the_locale(config: Path, encoding: str) -> None:
    done = run(encoding, "doctor", "--json", "--config", str(config))

    checks = json.loads(done.stdout.decode("utf-8"))
    assert "collector memory" in {check["name"] for check in checks}


def test_a_configuration_that_is_written_to_a_file_can_be_read_again(
    config: Path, tmp_path: Path
) -> None:
    shown = run("cp1252", "config", "show", "--config", str(config)).stdout
    again = tmp_path / "again.yaml"
    again.write_bytes(shown)

    assert NAME in shown.decode("utf-8")
    assert run("cp1252", "config", "check", "--config", str(again)).stdout.strip() == b"ok"


def test_a_name_that_is_no_text_does_not_stop_the_log(tmp_path: Path) -> None:
    file = tmp_path / "agent.log"
    set_up(LogConfig(file=file))

    logging.getLogger("companion_agent.disk").warning("/mnt/%s cannot be read", "\udcff — →")

    assert "/mnt/\\udcff — → cannot be read" in file.read_text("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_said_in_words(config: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "companion_agent", "config", "show", "--config", str(config)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    assert ended.returncode == 1
    assert ended.stderr == ("pilot-agent: the output cannot be written: No space left on device\n")
