"""What makers leave in the firmware when they do not fill in the form."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"(|0+|none|null|n/?a|x\.x|empty|unknown|undefined|invalid|default( string)?|oem|o\.?e\.?m\.?|"
    r"(to be )?filled by .*|to be filled.*|not (applicable|specified|available|present|provided)|"
    r"all series|standard|system (product|manufacturer|version|name|serial).*|product name|"
    r"(base ?board|board|sku|type\d).*|.*to be filled by o\.?e\.?m\.?.*|0?1234567890?|"
    r"[.\-_ ?*#]+)",
    re.IGNORECASE,
)


def filled_in(text: str) -> str:
    """Return what a field of the firmware says; empty where its maker left it as it was."""
    value = " ".join(text.split())[:255]
    return "" if _PLACEHOLDER.fullmatch(value) else value
