"""Small copies of screenshots, for the README.

``python tests/e2e/harness/pictures.py`` renews those in ``docs/images`` from the last test run;
with names, only these.
"""

from __future__ import annotations

import os
from pathlib import Path
import sys

from PIL import Image

WIDTH = 1200
LIMIT = 200 * 1024
ROOT = Path(__file__).resolve().parents[3]
PICTURES = ("broker-login", "discovery", "device", "rooms-card", "rooms-form", "rooms-statistics")


def shrink(source: Path, target: Path) -> None:
    """Write a copy that is as wide as a README, with as many colours as the limit allows."""
    with Image.open(source) as original:
        picture = original.convert("RGB")
    if picture.width != WIDTH:
        height = round(picture.height * WIDTH / picture.width)
        picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, method=Image.Quantize.MEDIANCUT).save(target, optimize=True)
        if target.stat().st_size <= LIMIT:
            return
    raise ValueError(f"{target} is still {target.stat().st_size} bytes")


def main() -> int:
    """Run as a program."""
    artifacts = Path(os.environ.get("PILOT_ARTIFACTS") or ROOT / "tests" / "e2e" / "artifacts")
    for name in sys.argv[1:] or PICTURES:
        shrink(artifacts / f"{name}.png", ROOT / "docs" / "images" / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
