"""What the configuration says about updates, and what the command takes."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config import ConfigError, load
from companion_agent.config.show import show
from companion_agent.config.updates import UpdateConfig
from companion_agent.errors import CommandError
from companion_agent.models import TextArgument
from companion_agent.security.authorizer import check_arguments

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
BASE64 = b64encode(KEY).decode()


def read(folder: Path, update: str) -> UpdateConfig:
    path = folder / "config.yaml"
    path.write_text(f"broker: mqtt.local\nupdate: {update}\n")
    return load(path, {}).update


def test_unless_it_is_said(tmp_path: Path) -> None:
    assert read(tmp_path, "{}") == UpdateConfig("homeassistant", (), automatic=False, trial=120)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("homeassistant", "homeassistant"),
        ("/mnt/share", "folder"),
        ("share", "folder"),
        ("https://packages.example/simple", "index"),
    ],
)
def test_sources(source: str, kind: str, tmp_path: Path) -> None:
    config = read(tmp_path, f"{{source: '{source}', keys: {BASE64}, trial: 60}}")

    assert config.kind == kind
    assert (config.keys, config.trial) == ((KEY,), 60)
    if source == "share":
        assert config.source == str(tmp_path / "share")


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ("{source: 'ftp://host/'}", "update.source: expected homeassistant, the path of a folder"),
        ("{source: 'https://'}", "names no host"),
        ("{source: 'https://anna:secret@host/'}", "a login cannot be in it"),
        ("{keys: [AAAA]}", "it has 3 bytes"),
        ("{keys: ['%']}", "it is not base64"),
        ("{automatic: true}", "only with a folder or an index"),
        ("{trial: 1}", "from 5 to 3600"),
        ("{sauce: x}", "did you mean source?"),
    ],
)
def test_mistakes(update: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, update)

    assert said in str(caught.value)


def test_it_is_shown_and_can_be_read_again(tmp_path: Path) -> None:
    read(tmp_path, f"{{source: /mnt/share, keys: [{BASE64}], automatic: true}}")
    path = tmp_path / "config.yaml"
    config = load(path, {})
    path.write_text(show(config))

    assert load(path, {}).update == config.update


# --- Texts as arguments ----------------------------------------------------------------------

EXPECTED = {"version": TextArgument(longest=8, default="")}


@pytest.mark.parametrize("given", [{}, {"version": ""}, {"version": "1.2.3"}], ids=str)
def test_texts_are_taken(given: dict[str, Any]) -> None:
    assert check_arguments(EXPECTED, given) == {"version": given.get("version", "")}


@pytest.mark.parametrize("value", ["123456789", "a b", "a\n", "é", "\0", 1, None, True, ["a"]])
def test_other_texts_are_not(value: Any) -> None:
    with pytest.raises(CommandError, match="not a text of up to 8"):
        check_arguments(EXPECTED, {"version": value})
