"""The programs that play a file of sound, in the order of what they can play.

Each is given an open file as its standard input and never a name or an address, and what it could
open besides is switched off: scripts, plug-ins that ask web sites, parts that a file refers to. It
plays at the PulseAudio interface, where the session helper finds its stream.

Source: the manuals mpv(1), ffplay(1), gst-launch-1.0(1), paplay(1).
"""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

from companion_agent.plugins.media.playback import TITLE

WHAT_TO_INSTALL = "install mpv, or ffplay (the package ffmpeg)"


class Program(NamedTuple):
    """A program, and how it is called to play its standard input."""

    name: str
    arguments: tuple[str, ...]


_PROGRAMS = (
    Program(
        "mpv",
        (
            "--no-config",
            "--load-scripts=no",
            "--ytdl=no",
            "--vid=no",
            "--sid=no",
            "--ordered-chapters=no",
            "--demuxer-lavf-o=protocol_whitelist=[data,crypto]",
            "--input-terminal=no",
            "--msg-level=all=error",
            "--term-status-msg=",
            "--ao=pulse",
            f"--audio-client-name={TITLE}",
            "fd://0",
        ),
    ),
    Program(
        "ffplay",
        ("-nodisp", "-autoexit", "-vn", "-sn", "-loglevel", "error",
         "-protocol_whitelist", "pipe,data,crypto", "-i", "pipe:0"),
    ),
    Program(
        "gst-launch-1.0",
        ("-q", "fdsrc", "fd=0", "!", "decodebin", "!", "audioconvert", "!", "audioresample",
         "!", "pulsesink", f"client-name={TITLE}"),
    ),
    # Knows the formats of libsndfile: not AAC, MP4 and WebM.
    Program("paplay", (f"--client-name={TITLE}", "/dev/stdin")),
)  # fmt: skip


def find() -> Program | None:
    """Return the first program that is installed; `None` where there is none."""
    return next((one for one in _PROGRAMS if shutil.which(one.name)), None)


def environment() -> dict[str, str]:
    """Return what a program needs so that its stream is Home Assistant's and not its own.

    Servers remember the volume of a stream by its name, and shall not mix it up with that of the
    user's own player.
    """
    properties = f'application.name="{TITLE}" application.id="pilot-agent"'
    return {
        **os.environ,
        "PULSE_PROP": properties,
        "SDL_AUDIODRIVER": "pulseaudio",
        "SDL_AUDIO_DRIVER": "pulseaudio",
    }
