"""Regular expressions of the configuration, and those among them that would never end."""

from __future__ import annotations

import re

from hypothesis import given, strategies as st
import pytest

from companion_agent.matching import Found, Matcher, SlowPatternError, is_quick

# Each of these takes Python longer than a test may last.
HOPELESS = [
    ("(a+)+$", "a" * 64 + "!"),
    ("(?:a|a)*$", "a" * 64 + "!"),
    ("(a|aa)+$", "a" * 64 + "!"),
    (r"^(\w+\s?)*$", "word " * 20 + "!"),
    ("(?x) (a+) # once more\n +$", "a" * 64 + "!"),
    (".*.*.*.*x", "a" * 4096),
    ("(.*)(.*)(.*)\\1\\2\\3x", "ab" * 2048),
]


@pytest.mark.parametrize(("pattern", "text"), HOPELESS)
def test_what_does_not_end_is_ended(pattern: str, text: str) -> None:
    with Matcher(0.2) as matcher:
        with pytest.raises(SlowPatternError, match=r"takes longer than 0\.2 s with"):
            matcher.search(pattern, text)

        assert matcher.search("(b)", "abc") == Found("b", "b")


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (
            r"finished (\d+) seconds ago",
            "it finished 17 seconds ago",
            Found("finished 17 seconds ago", "17"),
        ),
        ("[0-9]+", "17 %", Found("17", None)),
        ("(a)|b", "b", Found("b", None)),
        ("x", "abc", None),
        # Long enough for another process, with what has to be escaped on the way.
        ("(?:ä|\n|\ud800)+.*(z)", "ä\n\ud800" * 3 + "…z", Found("ä\n\ud800" * 3 + "…z", "z")),
        ("q.*(z)", "y" * 60_000 + "qz", Found("qz", "z")),
        ("(?:a|b)+(c)?", "x", None),
    ],
)
def test_both_ways_find_the_same(pattern: str, text: str, found: Found | None) -> None:
    with Matcher(30) as matcher:
        assert matcher.search(pattern, text) == found


def test_a_whole_text_fits() -> None:
    with Matcher(30) as matcher:
        assert matcher.fits("[a-z]+", "abc")
        assert not matcher.fits("[a-z]+", "abc1")
        assert matcher.fits("(?:[a-z]+ ?)+", "abc def")
        assert not matcher.fits("(?:[a-z]+ ?)+", "abc 1")


def test_usual_expressions_need_no_other_process() -> None:
    for pattern, length in (
        (r"finished (\d+) seconds ago", 1000),
        (r"rsync .* /mnt", 1000),
        (r"[\w ,.!?]+", 200),
        ("-m backup", 4096),
    ):
        assert is_quick(pattern, length)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@given(
    st.text("ab.*+?|()[]{}12\\", max_size=12),
    st.text("ab", max_size=40),
)
def test_what_is_called_quick_is(pattern: str, text: str) -> None:
    """What is not would never end: the test is that this one does."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError):
        return
    if is_quick(pattern, len(text)):
        compiled.search(text)
