"""Regular expressions over command lines find what `re` finds, in a time that can be waited for."""

from __future__ import annotations

import re

from hypothesis import assume, given, strategies as st
import pytest

from companion_agent.plugins.processes.linear_search import MOST_OF_OTHERS, searcher

_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "[ab]",
        "[^a]",
        ".",
        r"\w",
        r"\s",
        " ",
        "^",
        "$",
        r"\b",
        r"\A",
        r"\Z",
        "(?i:A)",
        "\n",
    ]
)
_REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda both: f"({both[0]}|{both[1]})"),
        st.tuples(inner, _REPEATS).map(lambda both: f"(?:{both[0]}){both[1]}"),
    ),
    max_leaves=8,
)
LONGEST = 4096


@given(pattern=_PATTERNS, text=st.text("ab \nA_", max_size=8))
def test_it_finds_what_re_finds(pattern: str, text: str) -> None:
    try:
        expected = re.search(pattern, text) is not None
    except re.error:
        assume(False)

    assert searcher(pattern)(text) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?i)JAVA", "/usr/bin/java", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b$", "a\nb\nc", False),
        ("c$", "b\nc\n", True),
        ("(?s)a.b", "a\nb", True),
        ("(?a:\\w)", "é", False),
        ("\\w", "é", True),
        ("\\Bx", "ax", True),
        ("", "", True),
    ],
)
def test_flags_and_places_mean_the_same(pattern: str, text: str, found: bool) -> None:
    assert searcher(pattern)(text) is found is (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param("a.*b.*c.*d", ("abc" * LONGEST)[:LONGEST], id="several gaps"),
        pytest.param("(a+)+b", "a" * LONGEST, id="repeated repetitions"),
        pytest.param("(a|aa)*b", "a" * LONGEST, id="two ways to the same"),
    ],
)
def test_no_text_keeps_it_busy(pattern: str, text: str) -> None:
    # `re` would go on for longer than a test may take.
    assert not searcher(pattern)(text)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("x(?=y)", id="a look-ahead"),
        pytest.param("(x)y?\\1?", id="what refers back"),
        pytest.param("x{2000}|x", id="too many steps"),
    ],
)
def test_what_only_re_can_is_looked_for_at_the_beginning(pattern: str) -> None:
    there, later = searcher(pattern)("xy"), searcher(pattern)(" " * MOST_OF_OTHERS + "xy")

    assert (there, later) == (True, False)
