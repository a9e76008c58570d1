"""What the configuration says about the backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent import config as configuration
from companion_agent.config import Config, ConfigError
from companion_agent.config.buffer import DAY, MIB, BacklogConfig
from companion_agent.config.show import show

if TYPE_CHECKING:
    from pathlib import Path


def load(folder: Path, text: str, **environment: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(f"broker: localhost\nstate_dir: {folder}\n{text}", "utf-8")
    return configuration.load(path, environment)


def test_without_a_word_a_week_is_kept(tmp_path: Path) -> None:
    assert load(tmp_path, "").backlog == BacklogConfig(
        enabled=True, max_age=7 * DAY, max_size=32 * MIB, write_interval=60
    )


def test_environment_variables(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "",
        PILOT_BACKLOG__ENABLED="no",
        PILOT_BACKLOG__MAX_AGE="1",
        PILOT_BACKLOG__MAX_SIZE="5",
        PILOT_BACKLOG__WRITE_INTERVAL="10",
    )

    assert loaded.backlog == BacklogConfig(
        enabled=False, max_age=DAY, max_size=5 * MIB, write_interval=10
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backlog: {max_age: 61}", "line 3: backlog.max_age: expected a number from 0.01 to 60"),
        ("backlog: {max_age: nan}", "backlog.max_age: expected a number from 0.01 to 60 (days)"),
        ("backlog: {max_size: 0}", "backlog.max_size: expected a whole number from 1 to 10000"),
        ("backlog:\n  write_interval: 1h", "line 4: backlog.write_interval: expected seconds"),
        ("backlog: {enabled: maybe}", "backlog.enabled: expected true or false"),
        ("backlog: {maxage: 1}", "backlog.maxage: is not known here; did you mean max_age?"),
        ("backlog: no", "backlog: expected keys below it (enabled, max_age, max_size"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)

    [mistake] = caught.value.mistakes
    assert said in str(mistake).replace(f"{tmp_path / 'config.yaml'}:", "line ")


def test_what_is_shown_says_the_same(tmp_path: Path) -> None:
    loaded = load(tmp_path, "backlog: {enabled: no, max_age: 0.5, max_size: 9, write_interval: 5}")

    shown = show(loaded)

    (tmp_path / "config.yaml").write_text(shown, "utf-8")
    assert configuration.load(tmp_path / "config.yaml", {}) == loaded
