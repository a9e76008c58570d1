"""Looks for a regular expression in a time that only grows with the text, whatever the two are.

Python's `re` tries one way after the other: with several `.*`, a text of 4,096 characters can keep
it busy for hours, and the whole process with it, since it lets no other thread run meanwhile. Here
all ways are followed at the same time (Thompson, "Regular Expression Search Algorithm", 1968; as
RE2 does it, which Python does not bring). It only tells whether there is something to be found.

`re` itself reads the expression, and says which characters a class of them has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
import re
from re import _compiler, _parser  # type: ignore[attr-defined]  # as hypothesis does
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_OF_OTHERS = 256
"""Characters that are looked at where only `re` can: with a look-ahead, or what refers back."""

# What characters are letters: each of these flags stands for the others.
_TYPES = re.ASCII.value | re.UNICODE.value
_MOST_STEPS = 1000
_MOST_KNOWN = 4096
_TAKEN = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})

Assertion = Callable[[str, str, bool], bool]
"""Tells from the characters before and behind a place whether something is so there; both are
empty where there is none. The third says that the one behind is a line feed at the very end."""


class _UnsupportedError(Exception):
    """The expression is none that all ways can be followed of."""


class _Step(NamedTuple):
    """A step on a way.

    Attributes:
        takes: Tells whether it takes a character; `None` where it takes none.
        holds: Tells whether it may be gone through here; `None` for always.
        next: The steps behind it; none behind the last.
    """

    takes: Callable[[str], bool] | None
    holds: Assertion | None
    next: tuple[int, ...]


@lru_cache(maxsize=64)
def searcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether something in a text matches a regular expression.

    Args:
        pattern: The expression, which `re` can read.
    """
    try:
        return _Search(pattern).found_in
    except _UnsupportedError:
        compiled = re.compile(pattern)
        return lambda text: compiled.search(text[:MOST_OF_OTHERS]) is not None


class _Search:
    """The ways through an expression, and where each character leads from where one is."""

    def __init__(self, pattern: str) -> None:
        tree = _parser.parse(pattern)
        self._steps: list[_Step] = []
        self._first = self._lay(tree, tree.state.flags, self._add(None, None, ()))
        self._looks_around = any(step.holds for step in self._steps)
        self._known: dict[tuple[frozenset[int], str, str, bool], frozenset[int] | None] = {}

    def found_in(self, text: str) -> bool:
        """Tell whether something in a text matches."""
        here = frozenset((self._first,))
        before = ""
        end = len(text) - 1
        for number, sign in enumerate(text):
            after = self._after(here, before, sign, sign == "\n" and number == end)
            if after is None:
                return True
            here = after
            if self._looks_around:
                before = sign
        return self._after(here, before, "", False) is None

    def _after(
        self, here: frozenset[int], before: str, sign: str, at_end: bool
    ) -> frozenset[int] | None:
        """Return where a character leads to; `None` where the expression ends before it."""
        key = here, before, sign, at_end
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = after = self._follow(*key)
        return after

    def _follow(
        self, here: Iterable[int], before: str, sign: str, at_end: bool
    ) -> frozenset[int] | None:
        after = {self._first}
        seen: set[int] = set()
        left = list(here)
        while left:
            number = left.pop()
            if number in seen:
                continue
            seen.add(number)
            step = self._steps[number]
            if not step.next:
                return None
            if step.takes is not None:
                if sign and step.takes(sign):
                    after.update(step.next)
            elif step.holds is None or step.holds(before, sign, at_end):
                left += step.next
        return frozenset(after)

    # --- Laying the ways, from their end to their beginning ------------------------------

    def _add(
        self,
        takes: Callable[[str], bool] | None,
        holds: Assertion | None,
        following: tuple[int, ...],
    ) -> int:
        if len(self._steps) >= _MOST_STEPS:
            raise _UnsupportedError
        self._steps.append(_Step(takes, holds, following))
        return len(self._steps) - 1

    def _lay(self, tree: Iterable[tuple[Any, Any]], flags: int, then: int) -> int:
        """Lay what leads through a piece of an expression; return where that begins."""
        for code, argument in reversed(list(tree)):
            then = self._lay_one(str(code), (code, argument), flags, then)
        return then

    def _lay_one(self, name: str, node: tuple[Any, Any], flags: int, then: int) -> int:
        argument = node[1]
        if name in _TAKEN:
            return self._add(_taker(node, flags), None, (then,))
        match name:
            case "AT":
                return self._add(None, _assertion(str(argument), flags), (then,))
            case "SUBPATTERN":
                _, added, removed, tree = argument
                if added & _TYPES:
                    flags &= ~_TYPES
                return self._lay(tree, (flags | added) & ~removed, then)
            case "BRANCH":
                begins = tuple(self._lay(tree, flags, then) for tree in argument[1])
                return self._add(None, None, begins)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, tree = argument
                return self._lay_repeated(least, most, tree, flags, then)
        raise _UnsupportedError

    def _lay_repeated(self, least: int, most: int, tree: Any, flags: int, then: int) -> int:  # noqa: ANN401
        if most == _parser.MAXREPEAT:
            again = self._add(None, None, (then,))
            begin = self._lay(tree, flags, again)
            self._steps[again] = _Step(None, None, (begin, then))
            then = again
            most = least
        end = then
        for _ in range(most - least):
            then = self._add(None, None, (self._lay(tree, flags, then), end))
        for _ in range(least):
            then = self._lay(tree, flags, then)
        return then


def _taker(node: tuple[Any, Any], flags: int) -> Callable[[str], bool]:
    state = _parser.State()
    state.flags = flags
    one = _compiler.compile(_parser.SubPattern(state, [node]), flags)
    return lambda sign: one.fullmatch(sign) is not None


def _assertion(name: str, flags: int) -> Assertion:
    by_line = bool(flags & re.MULTILINE)
    match name:
        case "AT_BEGINNING":
            return lambda before, _, __: not before or (by_line and before == "\n")
        case "AT_BEGINNING_STRING":
            return lambda before, _, __: not before
        case "AT_END":
            return lambda _, behind, at_end: not behind or at_end or (by_line and behind == "\n")
        case "AT_END_STRING":
            return lambda _, behind, __: not behind
        case "AT_BOUNDARY" | "AT_NON_BOUNDARY":
            is_word = _word(flags & re.ASCII)
            differs = name == "AT_BOUNDARY"
            return lambda before, behind, _: (is_word(before) != is_word(behind)) == differs
    raise _UnsupportedError


@cache
def _word(flags: int) -> Callable[[str], bool]:
    word = re.compile(r"\w", flags)
    return lambda sign: word.match(sign) is not None
