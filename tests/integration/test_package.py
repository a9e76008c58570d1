"""The files around the code: manifest, translations, icons, quality scale, brand."""

import ast
import inspect
import json
from pathlib import Path
import re

import homeassistant.components
from homeassistant.const import Platform
from homeassistant.util import yaml as yaml_util
import pytest

from custom_components.pilot import (
    commands,
    condition,
    config_flow,
    const,
    errors,
    media_player,
    options_flow,
    pairing_flow,
    problem,
    repairs,
    sensor,
    services,
    storage,
    switch,
    trigger,
    update,
)
from custom_components.pilot.coordinator import Status
from custom_components.pilot.descriptions import OWN_COMMAND, translation_key
from custom_components.pilot.protocol.catalogue import CATALOGUE, Several
from custom_components.pilot.protocol.messages import REASONS
from custom_components.pilot.protocol.topics import DEFAULT_PREFIX
from custom_components.pilot.rooms import model as placement, services as placement_services
from custom_components.pilot.rooms.quantities import QUANTITIES

from .conftest import ROOT
from .kinds import device_of
from .platforms import DESCRIPTIONS, KINDS, platform_of_kind
from .texts import LANGUAGES, PACKAGE, TRANSLATIONS, flat, load, placeholders

CORE = Path(homeassistant.components.__path__[0])
# --- Translations ----------------------------------------------------------------------------


def test_languages_are_in_step() -> None:
    """Every text is there in both, with the same placeholders, and translated."""
    english, french = (flat(load(f"translations/{language}.json")) for language in LANGUAGES)

    assert list(english) == list(french)
    for path, text in english.items():
        assert placeholders(text) == placeholders(french[path]), path
        assert text.strip() == text
        assert french[path].strip() == french[path]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_entity_has_a_name(language: str) -> None:
    """With and without a placeholder, as the kind asks for."""
    names = {
        platform: {key: text["name"] for key, text in texts.items()}
        for platform, texts in load(f"translations/{language}.json")["entity"].items()
    }
    expected: dict[str, dict[str, set[str]]] = {
        platform: {translation_key(key): set() for key in descriptions}
        for platform, descriptions in DESCRIPTIONS.items()
    }
    expected["binary_sensor"] |= {"connectivity": set(), "paired": set(), "problem": set()}
    expected["media_player"] |= {media_player.PLAYER.translation_key: set()}
    expected["sensor"] |= {"room": set(), "status": set()}
    expected["switch"] |= {switch.POWER.key: set()}
    for platform in ("button", "number", "select", "switch"):
        expected[platform] |= {OWN_COMMAND: set()}
    # Commands of a service, which has one reading and may have several of them.
    expected["button"] |= {f"services_{verb}": {"of"} for verb in ("start", "stop", "restart")}
    expected["update"] |= {update.DESCRIPTION.translation_key: set()}
    for kind, platform in KINDS:
        several = CATALOGUE[kind].several
        if several is Several.YES:
            expected[platform][translation_key(kind)] = {"of"}
        if several is Several.OPTIONAL:
            expected[platform][translation_key(kind, "of")] = {"of"}
        if CATALOGUE[kind].of == "mount point":
            expected[platform][translation_key(kind, "system")] = set()

    assert {
        platform: {key: placeholders(name) for key, name in texts.items()}
        for platform, texts in names.items()
    } == expected


TILE = 12
"""How many characters of a name a narrow tile of a dashboard shows."""
OF = {
    "cpu.core_percent": ("0", "15"),
    "disk.": ("/srv", "/home"),
    "disk_io.": ("vda", "nvme0n1"),
    "network.": ("eth0", "enp0s31f6"),
    "wifi.": ("wlan0",),
    "temperature.": ("acpitz", "NVMe"),
    "fan.": ("fan1", "fan2"),
    "battery.": ("BAT0", "BAT1"),
    "screen.brightness": ("eDP-1", "DP-1"),
    "services.running": ("nginx", "ssh"),
    "processes.": ("kodi", "rsync"),
}
"""What tells several readings of a computer apart, by the beginning of their kinds."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_are_told_apart_in_a_narrow_tile(language: str) -> None:
    """All that a computer can have: the distinguishing word comes first."""
    entity = load(f"translations/{language}.json")["entity"]
    names = [
        entity[platform][key]["name"]
        for platform, keys in {
            "binary_sensor": ("connectivity", "paired"),
            "button": [translation_key(kind) for kind in DESCRIPTIONS[Platform.BUTTON]],
            "event": DESCRIPTIONS[Platform.EVENT],
            "sensor": ("status",),
            "switch": (switch.POWER.key,),
            "update": (update.DESCRIPTION.key,),
        }.items()
        for key in keys
    ]
    for kind, platform in KINDS:
        if "." not in kind or platform is Platform.NUMBER or device_of(kind):
            continue  # Of a room sensor, a disk or a UPS, which are devices of their own.
        several = [of for start, ofs in OF.items() if kind.startswith(start) for of in ofs]
        for variant in ("", "of", "system"):
            name = entity[platform].get(translation_key(kind, variant), {"name": ""})["name"]
            names += [name.format(of=of) for of in several] if "{of}" in name else [name]
    shown = [name[:TILE] for name in names if name]
    assert [name for name in shown if shown.count(name) > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_is_translated(language: str) -> None:
    """What an enum may be is said in words."""
    entity = load(f"translations/{language}.json")["entity"]
    statuses = {status.value for status in Status}

    assert set(entity["sensor"]["status"]["state"]) == statuses
    attribute = entity["binary_sensor"]["connectivity"]["state_attributes"]["status"]
    assert set(attribute["state"]) == statuses
    for kind in CATALOGUE.values():
        # Home Assistant itself has the words for what a media player does.
        if kind.options and not kind.name.startswith("media."):
            words = entity[platform_of_kind(kind.name)][translation_key(kind.name)]["state"]
            assert set(words) == set(kind.options)


def test_every_reason_of_a_rejection_has_words() -> None:
    """Whatever a host of this protocol answers."""
    assert set(errors.BY_REASON) == {*REASONS, "failed"}


def test_every_issue_and_error_is_told() -> None:
    """Nothing the code can say is left without words, and no words are left over."""
    texts = load("translations/en.json")
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    from_home_assistant = {
        "already_configured",
        "already_in_progress",
        "reauth_successful",
        "reconfigure_successful",
    }

    assert set(texts["issues"]) == {
        repairs.AGENT_NEWER,
        repairs.AGENT_OLDER,
        repairs.CLOCK_AHEAD,
        repairs.CLOCK_BEHIND,
        repairs.CONFLICT,
        repairs.EXPOSED,
        repairs.HOST_REMOVED,
        repairs.PERMISSION,
        repairs.UNPAIRED,
        repairs.UPDATE_FAILED,
        *storage.FileFault,
    }
    for group in (texts["config"]["abort"], texts["config"]["error"], texts["options"]["error"]):
        for key in set(group) - from_home_assistant:
            assert f'"{key}"' in source, key
    for key in texts["exceptions"]:
        used = f'translation_key="{key}"', f"exceptions.{key}.message"
        assert any(one in source for one in used) or f'"{key}"' in "".join(
            inspect.getsource(module) for module in (errors, commands, placement, update)
        )
    assert {fault.value for fault in placement.Fault} <= set(texts["exceptions"])
    flows = {"config": config_flow.PilotConfigFlow, "options": options_flow.PilotOptionsFlow}
    for category, flow in flows.items():
        steps = set(texts[category]["step"])
        assert {name for name in dir(flow) if name[11:] in steps} == {
            f"async_step_{step}" for step in steps
        }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("category", "step"), [("config", "reconfigure"), ("options", "init")])
def test_titles_of_menus_have_no_placeholders(language: str, category: str, step: str) -> None:
    """Home Assistant's front end gives none to them; these are all the menus that there are."""
    steps = TRANSLATIONS[language][category]["step"]

    assert [name for name, told in steps.items() if "menu_options" in told] == [step]
    assert placeholders(steps[step]["title"]) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_titles_of_menus_and_ends_of_repairs_have_no_placeholders(language: str) -> None:
    """As in other flows; those of the rest are compared where the issues are created."""
    for issue, texts in TRANSLATIONS[language]["issues"].items():
        fix_flow = texts.get("fix_flow", {})
        for step in fix_flow.get("step", {}).values():
            assert "menu_options" not in step or not placeholders(step["title"]), issue
        assert not any(map(placeholders, fix_flow.get("abort", {}).values())), issue


def exceptions_of_calls() -> dict[str, set[str]]:
    """Return the placeholders of the exceptions that are raised by name, by translation key."""
    given: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            key = named.get("translation_key")
            if "translation_domain" not in named or not isinstance(key, ast.Constant):
                continue
            values = named.get("translation_placeholders", ast.Dict([], []))
            assert isinstance(values, ast.Dict), path
            names = {name.value for name in values.keys if isinstance(name, ast.Constant)}
            assert given.setdefault(str(key.value), names) == names
    return given


def test_exceptions_have_the_placeholders_that_are_given() -> None:
    """In both languages, exactly those; what a host answered leaves some unused."""
    command = {"name", "command"}
    given = exceptions_of_calls()
    given |= {fault.value: {"device"} for fault in placement.Fault}
    given |= dict.fromkeys((*errors.BY_STATUS.values(), "no_broker"), command)
    given |= {"command_rehearsed": command, "command_not_paired": command}
    given |= {
        "update_failed": {"name", "version", "reason"},
        "update_no_address": {"name"},
        "update_silent": {"name"},
        "update_trouble": {"name", "reason"},
    }
    answered = {*errors.BY_REASON.values(), errors.OTHERWISE} - {"command_not_paired"}

    for language in LANGUAGES:
        used = {
            key: placeholders(text["message"])
            for key, text in TRANSLATIONS[language]["exceptions"].items()
        }
        assert {key: names for key, names in used.items() if key not in answered} == given
        for key in answered:
            assert command <= used[key] <= command | {"reason", "detail"}, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_drawn_as_plain_text_has_no_markup(language: str) -> None:
    """Toasts, errors, titles and names show backticks and asterisks as they are."""
    for path, text in flat(TRANSLATIONS[language]).items():
        group, *_, last = path.split(".")
        if group == "exceptions" or ".error." in path or last in ("title", "name"):
            assert not set("`*") & set(text), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_aborts_have_no_placeholders(language: str) -> None:
    """A flow that ends gives none."""
    for reason, text in TRANSLATIONS[language]["config"]["abort"].items():
        assert placeholders(text) == set(), reason


@pytest.mark.parametrize("language", LANGUAGES)
def test_triggers_and_conditions_are_told_apart(language: str) -> None:
    """By their names, which is how they are found: by what users call a computer."""
    texts = TRANSLATIONS[language]
    names = [told["name"] for group in ("triggers", "conditions") for told in texts[group].values()]

    assert len(set(names)) == len(names)
    for name in names:
        assert {"en": "computer", "fr": "ordinateur"}[language] in name.lower()


@pytest.mark.parametrize("language", LANGUAGES)
def test_users_read_of_computers(language: str) -> None:
    """The word that the field has for them stays in the code."""
    word = {"en": r"\bhosts?\b", "fr": r"\bhôtes?\b"}[language]

    for path, text in flat(TRANSLATIONS[language]).items():
        assert not re.search(word, re.sub(r"{\w+}", "", text), re.IGNORECASE), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_trigger_and_condition_is_described(language: str) -> None:
    """With all its fields, and with an icon."""
    texts, icons = load(f"translations/{language}.json"), load("icons.json")
    known = {
        "services": dict.fromkeys((*services.SERVICES, *placement_services.SERVICES)),
        "triggers": trigger.TRIGGERS,
        "conditions": condition.CONDITIONS,
    }

    for group, names in known.items():
        described = {
            name: set((fields or {}).get("fields", {}))
            for name, fields in yaml_util.load_yaml_dict(PACKAGE / f"{group}.yaml").items()
            if not name.startswith(".")
        }
        assert set(described) == set(texts[group]) == set(icons[group])
        assert set(names) <= set(described)
        for name, fields in described.items():
            assert set(texts[group][name].get("fields", {})) == fields
    assert set(texts["selector"]["quantity"]["options"]) == set(QUANTITIES)
    reasons = {one.reason for one in problem.PROBLEMS.values()}
    assert set(texts["selector"]["problem"]["options"]) == reasons
    assert set(problem.PROBLEMS) <= set(CATALOGUE)
    mode = texts["selector"]["fleet_mode"]["options"]
    assert set(mode) == {options_flow.FLEET_ADD, options_flow.FLEET_ASK, options_flow.FLEET_FORGET}


def test_every_reason_is_told() -> None:
    """Whatever a host answers, the user reads it in words."""
    texts = load("translations/en.json")

    assert set(errors.BY_STATUS) == {status.value for status in Status} - {"no_broker"}
    for key in (*errors.BY_REASON.values(), *errors.BY_STATUS.values(), errors.OTHERWISE):
        assert key in texts["exceptions"]
    for key in (*pairing_flow.PAIRING_ERRORS.values(), *pairing_flow.LOST_KEYS):
        assert key in texts["config"]["error"]


def test_every_text_of_the_card_is_told() -> None:
    """Nothing that the card says is without words, and no words are left over."""
    texts = set(load("translations/en.json")["config_panel"]["rooms_card"])
    source = "\n".join(path.read_text() for path in (PACKAGE / "frontend").glob("*.js"))

    assert set(re.findall(r'\bsay\("(\w+)"', source)) <= texts
    built = tuple(re.findall(r"`(?:\$\{ROOT\}\.)?(\w+_)\$\{", source))
    assert set(built) == {"boundary_", "option_", "period_"}
    for key in texts:
        assert f'"{key}"' in source or key.startswith(built), key
    for language in LANGUAGES:
        # The card picker asks for the name before anything could be loaded.
        title = load(f"translations/{language}.json")["config_panel"]["rooms_card"]["title"]
        assert f'name: "{title}"' in source


def test_icons_belong_to_entities() -> None:
    """An icon of nothing is a mistake."""
    entities = load("translations/en.json")["entity"]

    for platform, icons in load("icons.json")["entity"].items():
        assert set(icons) <= set(entities[platform])
        for key, icon in icons.items():
            assert set(icon.get("state", {})) <= {"on", "off"} | set(
                entities[platform][key].get("state", {})
            )
    for kind, description in sensor.DESCRIPTIONS.items():
        # A device class brings an icon of its own.
        if description.device_class is None:
            assert translation_key(kind) in load("icons.json")["entity"]["sensor"]


# --- Manifest and quality scale --------------------------------------------------------------


def test_manifest() -> None:
    """As hassfest wants it: domain and name first, the rest in order."""
    manifest = load("manifest.json")

    assert list(manifest) == ["domain", "name", *sorted(manifest.keys() - {"domain", "name"})]
    assert manifest["domain"] == const.DOMAIN
    assert manifest["mqtt"] == [f"{DEFAULT_PREFIX}/+/announce"]
    assert manifest["requirements"] == ["spake2==0.9", "wakeonlan==3.3.0"]


def test_hacs() -> None:
    """The oldest Home Assistant that works is the one that these tests run on."""
    assert json.loads((ROOT / "hacs.json").read_text())["homeassistant"].startswith("2026.10")


def test_the_quality_scale_is_complete() -> None:
    """Every rule that core has is answered, and every exception has its reason."""
    answers = yaml_util.load_yaml_dict(PACKAGE / "quality_scale.yaml")["rules"]
    rules = yaml_util.load_yaml_dict(CORE / "peblar" / "quality_scale.yaml")["rules"]

    assert set(answers) == set(rules)
    assert len(answers) == 54
    for rule, answer in answers.items():
        if isinstance(answer, dict):
            assert answer["status"] in ("done", "exempt", "todo"), rule
            assert answer["comment"], rule
        else:
            assert answer == "done", rule


# --- Brand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("icon", (256, 256)),
        ("icon@2x", (512, 512)),
        ("dark_icon", (256, 256)),
        ("dark_icon@2x", (512, 512)),
    ],
)
def test_icons_have_their_size(name: str, size: tuple[int, int]) -> None:
    """Square, with the sizes that Home Assistant asks for."""
    assert png_size(name) == size


@pytest.mark.parametrize("name", ["logo", "dark_logo"])
def test_logos_have_their_size(name: str) -> None:
    """The shorter side has 128 to 256 pixels, and twice as many in the large one."""
    width, height = png_size(name)

    assert 128 <= min(width, height) <= 256
    assert png_size(f"{name}@2x") == (2 * width, 2 * height)


def png_size(name: str) -> tuple[int, int]:
    """Return width and height of an image of the brand."""
    data = (PACKAGE / "brand" / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
