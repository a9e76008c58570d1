"""The texts of Pilot in its languages, and the placeholders in them."""

import json
from pathlib import Path
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = Path(__file__).parents[2] / "custom_components" / "pilot"
LANGUAGES = ("en", "fr")

type Texts = dict[str, str]


def load(name: str) -> Any:
    """Return a JSON file of the package."""
    return json.loads((PACKAGE / name).read_text())


TRANSLATIONS = {language: load(f"translations/{language}.json") for language in LANGUAGES}


def flat(tree: Mapping[str, Any], path: str = "") -> Texts:
    """Return the leaves of a tree by their path."""
    leaves: Texts = {}
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        leaves |= flat(value, name) if isinstance(value, dict) else {name: value}
    return leaves


def placeholders(text: str) -> set[str]:
    """Return the names in braces."""
    return set(re.findall(r"{(\w+)}", text))


def assert_step_has_its_placeholders(category: str, step: Mapping[str, Any]) -> None:
    """Compare what a form or menu gives with what its texts use, in every language.

    Home Assistant's front end shows an error instead of a text that uses more, and the titles
    of menus get nothing at all. What is given is used, by the step or by an error in it.
    """
    given = set(step["description_placeholders"] or {})
    if "progress_action" in step:
        for texts in TRANSLATIONS.values():
            assert placeholders(texts[category]["step"][step["step_id"]]["title"]) == set()
            assert placeholders(texts[category]["progress"][step["progress_action"]]) == given
        return
    for language, texts in TRANSLATIONS.items():
        told = texts[category]["step"][step["step_id"]]
        errors = texts[category].get("error", {})
        used = {path: placeholders(text) for path, text in flat(told).items()}
        if "menu_options" in step:
            assert used.pop("title") == set(), (language, step["step_id"])
            assert set(told["menu_options"]) >= set(step["menu_options"])
        for error in (step.get("errors") or {}).values():
            used[f"error.{error}"] = placeholders(errors[error])
        for path, names in used.items():
            assert names <= given, (language, step["step_id"], path)
        possible = set.union(*used.values(), *map(placeholders, errors.values()))
        assert given <= possible, (language, step["step_id"])
