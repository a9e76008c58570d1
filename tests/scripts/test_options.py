"""What the command line of `scripts/demo` is read as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stack.console import StackError
from stack.options import DEMO_NOTES, make_demo_folder, parse_demo

if TYPE_CHECKING:
    from pathlib import Path


def test_a_demo_has_a_folder_of_its_own(tmp_path: Path) -> None:
    options = parse_demo(["--data", str(tmp_path / "a" / "demo")])

    folder = make_demo_folder(options)

    assert folder == tmp_path / "a" / "demo"
    assert folder.is_dir()


def test_a_demo_is_shown_again(tmp_path: Path) -> None:
    (tmp_path / DEMO_NOTES).touch()
    (tmp_path / "homeassistant").mkdir()

    assert make_demo_folder(parse_demo(["--fresh", "--data", str(tmp_path)])) == tmp_path


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "homeassistant" / "configuration.yaml"
    own.parent.mkdir()
    own.touch()

    with pytest.raises(StackError, match="holds something else than a demo"):
        make_demo_folder(parse_demo(["--fresh", "--data", str(tmp_path)]))

    assert own.exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "demo"
    file.touch()

    with pytest.raises(StackError, match=f"{file} cannot be used: File exists"):
        make_demo_folder(parse_demo(["--data", str(file)]))


def test_no_folder_is_not_the_current_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_demo(["--data", ""])

    assert "argument --data: no folder is named" in capsys.readouterr().err
