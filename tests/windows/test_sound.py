"""Sound of a session by Windows' own calls, with a real sound server below Wine's."""

from __future__ import annotations

import json
from pathlib import Path
import sys
from typing import TYPE_CHECKING

import pytest

from support.agent_sound import SoundServer, tone, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.wine import WinePc

if sys.platform == "win32":
    pytest.skip("this PC's sound is its user's", allow_module_level=True)

pytestmark = pytest.mark.proves("sound.output", "sound.output_volume", "media.state")

HERE = Path(__file__).parent
SECONDS = 4


@pytest.fixture
def server(pc: WinePc, tmp_path: Path) -> Iterator[SoundServer]:
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path / "sound"
    folder.mkdir()
    server = SoundServer(folder)
    server.start()
    pc.env["PULSE_SERVER"] = server.address
    yield server
    server.stop()


def test_sound_is_read_set_and_played(pc: WinePc, server: SoundServer, tmp_path: Path) -> None:
    media = tmp_path / "bell.wav"
    media.write_bytes(tone(SECONDS))

    with server.listen("speaker") as loudest:
        # Wine's part for media crashes when the process ends.
        done = pc.run("python", pc.path(HERE / "probe_sound.py"), pc.path(media), check=False)
        plays, _, said = done.stdout.partition("\n")
        assert plays == "plays", done.stderr
        found = json.loads(said)
        heard = loudest()

    # Wine 10 adds "Output".
    assert found["devices"]["output"].startswith("PulseAudio")
    assert found["devices"]["output_volume"] == 100
    assert (found["mute"], found["muted"]) == ("", True)
    assert (found["play"], found["title"]) == ("", "Bell")
    assert heard > 0.2
    # What Wine lacks is told as what it is.
    assert "IAudioEndpointVolume.SetMasterVolumeLevelScalar" in found["volume"]
    assert "lets no program choose" in found["why"]["output"]
    assert "does not tell who records" in found["why"]["microphone_in_use"]
    assert "winrt-Windows.Media.Control is not installed" in found["players"]
    assert "winrt-Windows.UI.Notifications is not installed" in found["notifications"]
