"""Where log messages go, and what they look like there."""

from __future__ import annotations

from contextlib import suppress
import io
import json
import logging
import os
from pathlib import Path
import re
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent import logs
from companion_agent.config import LogConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTION = logging.getLogger("companion_agent.mqtt.connection")


@pytest.fixture(autouse=True)
def part() -> Iterator[None]:
    yield
    logging.getLogger("companion_agent.mqtt").setLevel(logging.NOTSET)


def test_text_for_people() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig(), stream, {})

    CONNECTION.warning("Lost the connection to %s", "mqtt.local")

    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING mqtt: Lost the connection to mqtt.local\n"
    assert re.fullmatch(line, stream.getvalue())


def test_names_of_strangers_do_nothing_to_a_terminal() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig(), stream, {})

    CONNECTION.warning("%s is gone\n\tas well", "STICK\x1b[2J\u202e\rok")

    assert stream.getvalue().endswith("STICK\\x1b[2J\\u202e\\rok is gone\n\tas well\n")


def test_json_lines_for_machines() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig(format="json"), stream, {})

    CONNECTION.warning("Büro: %d", 1)
    CONNECTION.error("two\nlines", exc_info=OSError("oh"))

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time")
    assert first == {"level": "WARNING", "part": "mqtt", "message": "Büro: 1"}
    assert "OSError: oh" in second["exc_info"]


def test_the_journal_knows_the_time_and_is_told_the_level(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        logs.set_up(LogConfig(), stream, journal)

        CONNECTION.error("one\ntwo")

        stream.seek(0)
        assert stream.read() == "<3>mqtt: one\n<3>two\n"


def test_an_inherited_journal_that_is_not_our_stream(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as stream:
        logs.set_up(LogConfig(), stream, {"JOURNAL_STREAM": "1:2"})

        CONNECTION.error("one")

        stream.seek(0)
        assert "ERROR" in stream.read()


def test_a_level_for_all_and_one_for_a_part() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig("warning", parts={"transport": "debug"}), stream, {})

    CONNECTION.debug("shown")
    logging.getLogger("companion_agent.agent").info("not shown")

    assert "mqtt: shown" in stream.getvalue()
    assert "not shown" not in stream.getvalue()


def test_setting_up_twice_does_not_double_lines() -> None:
    stream = io.StringIO()
    logs.set_up(LogConfig(), stream, {})
    logs.set_up(LogConfig(), stream, {})

    CONNECTION.info("once")

    assert stream.getvalue().count("once") == 1


def test_a_file_is_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "agent.log"
    logs.set_up(LogConfig(format="json", file=file, max_size=200, keep=2), io.StringIO(), {})

    for number in range(20):
        CONNECTION.warning("message %d", number)

    kept = [file.with_name("agent.log.2"), file.with_name("agent.log.1"), file]
    assert sorted(file.parent.iterdir()) == sorted(kept)
    lines = [json.loads(line) for path in kept for line in path.read_text("utf-8").splitlines()]
    assert [line["message"] for line in lines] == [
        f"message {number}" for number in range(20 - len(lines), 20)
    ]
    assert all(path.stat().st_size <= 200 for path in kept)


def test_a_file_that_cannot_be_written_does_not_stop_the_agent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "agent.log"
    stream = io.StringIO()
    logs.set_up(LogConfig(file=below), stream, {})

    CONNECTION.warning("Lost the connection")

    first, second = stream.getvalue().splitlines()
    assert f"The log cannot be written to {below}: " in first
    assert second.endswith("mqtt: Lost the connection")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_a_pipe_that_nothing_reads_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "agent.log"
    os.mkfifo(pipe)
    stream = io.StringIO()
    logs.set_up(LogConfig(file=pipe), stream, {})

    CONNECTION.warning("Lost the connection")

    first, second = stream.getvalue().splitlines()
    assert f"The log cannot be written to {pipe}: it is a pipe that nothing reads" in first
    assert second.endswith("mqtt: Lost the connection")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogConfig(file=Path("/dev/full")), io.StringIO(), {})

    for number in range(3):
        CONNECTION.warning("message %d", number)

    said = capsys.readouterr().err
    with suppress(OSError):  # what is left is tried once more
        logging.getLogger("companion_agent").handlers[0].close()
    assert said == "The log cannot be written to /dev/full: No space left on device\n"
