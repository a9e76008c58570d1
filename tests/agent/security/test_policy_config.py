"""What the configuration says about commands and keys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent import config
from companion_agent.cli.doctor import check_pairing
from companion_agent.config import ConfigError
from companion_agent.config.policy import Policy
from companion_agent.config.show import show
from companion_agent.security.key_store import Controller, TrustStore
from companion_agent.storage.permissions import typed_by_administrator

if TYPE_CHECKING:
    from pathlib import Path

FLEET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def load(folder: Path, text: str, **environment: str) -> config.Config:
    path = folder / "config.yaml"
    path.write_text(f"broker: localhost\nstate_dir: {folder / 'state'}\n{text}", "utf-8")
    return config.load(path, environment)


def mistakes(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return "\n".join(str(mistake) for mistake in caught.value.mistakes)


def test_without_a_word_everything_that_the_host_can_do_is_allowed(tmp_path: Path) -> None:
    loaded = load(tmp_path, "")
    assert loaded.commands == Policy(allow=("*",))
    assert loaded.fleet is None


def test_commands(tmp_path: Path) -> None:
    text = """
commands:
  allow: [power.*, session.lock]
  deny: ["*.hibernate"]
  cooldown: {power.shutdown: 60, power.*: 5}
  dry_run: yes
"""
    policy = load(tmp_path, text).commands
    assert policy == Policy(
        ("power.*", "session.lock"),
        ("*.hibernate",),
        {"power.shutdown": 60, "power.*": 5},
        dry_run=True,
    )
    assert list(policy.cooldown) == ["power.shutdown", "power.*"]


def test_an_empty_list_allows_nothing(tmp_path: Path) -> None:
    assert not load(tmp_path, "commands: {allow: []}").commands.allows("power.lock")


def test_environment_variables(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        f"security: {{fleet_key_file: {tmp_path / 'gone'}}}",
        PILOT_COMMANDS__ALLOW="power.*, session.*",
        PILOT_COMMANDS__COOLDOWN="power.*=5, session.lock=1",
        PILOT_COMMANDS__DRY_RUN="true",
        PILOT_SECURITY__FLEET_KEY=FLEET,
    )
    assert loaded.commands == Policy(
        ("power.*", "session.*"), (), {"power.*": 5, "session.lock": 1}, dry_run=True
    )
    assert loaded.fleet == bytes(range(32))


def test_a_fleet_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "fleet").write_text(f"{FLEET}\n")
    loaded = load(tmp_path, "security: {fleet_key_file: fleet}")
    assert loaded.fleet == bytes(range(32))


def test_a_fleet_key_from_systemd(tmp_path: Path) -> None:
    (tmp_path / "security.fleet_key").write_text(FLEET)
    assert load(tmp_path, "", CREDENTIALS_DIRECTORY=str(tmp_path)).fleet == bytes(range(32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("commands: {alow: []}", "did you mean allow?"),
        ("commands: {allow: {a: 1}}", "commands.allow: expected a list of names"),
        ("commands: {cooldown: {power.*: soon}}", "commands.cooldown.power.*: expected seconds"),
        ("commands: {cooldown: soon}", "commands.cooldown: expected seconds by command"),
        ("security: {fleet_key: short}", "openssl rand -base64 32"),
        (f"security: {{fleet_key: {FLEET}, fleet_key_file: x}}", "give either this or fleet_key"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistakes(tmp_path, text)


def test_a_fleet_key_is_never_shown(tmp_path: Path) -> None:
    loaded = load(tmp_path, f"security: {{fleet_key: {FLEET}}}\ncommands: {{dry_run: true}}")
    assert FLEET not in show(loaded)
    assert "fleet_key: (hidden)" in show(loaded)
    assert "dry_run: true" in show(loaded)
    assert "AAEC" not in repr(loaded)
    assert "\\x01" not in repr(loaded)
    wrong = FLEET[:-5] + "!!!!="
    assert wrong not in mistakes(tmp_path, f'security: {{fleet_key: "{wrong}"}}')


# --- Doctor ----------------------------------------------------------------------------------


def test_doctor_says_who_may_command(tmp_path: Path) -> None:
    loaded = load(tmp_path, "commands: {dry_run: true}")
    check = check_pairing(loaded)
    hint = typed_by_administrator("pilot-agent pair")
    assert (check.verdict, check.hint) == ("absent", hint)
    home = Controller("4f1d2c3b5a697887", "Home", bytes(32), 0)
    TrustStore(loaded.state_dir).save([home])
    check = check_pairing(loaded)
    assert check.verdict == "ok"
    assert check.detail.startswith("paired with Home; commands.dry_run is on")


def test_doctor_says_what_is_damaged_and_moves_nothing(tmp_path: Path) -> None:
    loaded = load(tmp_path, f"security: {{fleet_key: {FLEET}}}")
    assert "fleet key" in check_pairing(loaded).detail
    TrustStore(loaded.state_dir).save([])
    (loaded.state_dir / "trust.json").write_text("{")
    assert "damaged" in check_pairing(loaded).detail
    assert (loaded.state_dir / "trust.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are not Windows'")
def test_doctor_says_how_to_close_open_files(tmp_path: Path) -> None:
    loaded = load(tmp_path, "")
    TrustStore(loaded.state_dir).save([])
    (loaded.state_dir / "trust.json").chmod(0o644)
    check = check_pairing(loaded)
    assert (check.verdict, check.hint) == ("bad", f"chmod 600 {loaded.state_dir / 'trust.json'}")
