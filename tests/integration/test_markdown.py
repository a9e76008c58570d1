"""Texts from hosts, where Home Assistant draws Markdown."""

from collections.abc import Mapping
import json
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from hypothesis import given, settings, strategies as st
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import MqttMockHAClient, WebSocketGenerator

from custom_components.pilot import repairs
from custom_components.pilot.markdown import (
    Markdown,
    code_block,
    code_span,
    escape_markdown,
    escape_markdown_lines,
    markdown_placeholders,
)
from custom_components.pilot.protocol.announce import parse_announce
from support.integration_host import ANNOUNCE, HOST_ID, FakeHost, make_entry

from .texts import LANGUAGES, PACKAGE, TRANSLATIONS, flat, placeholders

RENDERER = MarkdownIt("commonmark", {"breaks": True}).enable(["table", "strikethrough"])
# What GFM, and so Home Assistant's front end, makes links of in plain text.
AUTOLINK = re.compile(r"(?:https?|ftp)://|www\.|\w@[\w-]+\.\w", re.IGNORECASE)

HOSTILE = (
    "![p](http://127.0.0.1:9/pixel.png) [Sign in again](http://evil.example/login)\n\n"
    "# <b>Now</b> www.evil.example me@evil.example `code` | ~~x~~ \u202eexe.gpj\u202c"
)
DRAWN = (
    "![p](http://127.0.0.1:9/pixel.png) [Sign in again](http://evil.example/login) "
    "# <b>Now</b> www.evil.example me@evil.example `code` | ~~x~~ exe.gpj"
)
PIECES = (
    *("http://", "https://e.example", "ftp://", "www.", "a@b.example", "![", "](", "<b>", "<!--"),
    *("&lt;", "&#60;", "```", "~~~", "\n", "\n\n", "---", "===", "1. ", "12345) ", "# ", "- "),
    *("a", "Z", "0", "é", " ", "\t", "_", "*", "`", "[", "]", "(", ")", "<", ">", "!", "#", "+"),
    *("-", "=", ":", "/", ".", "@", "&", ";", "\\", "|", "~", '"', "'", "\u202e", "\u200b", "\0"),
)
ANYTHING = st.one_of(st.lists(st.sampled_from(PIECES), max_size=16).map("".join), st.text())


def visible(text: str) -> str:
    """Return what is to be seen of a text: what was escaped, without its backslashes."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escape_markdown(text))


def links_and_markup(markdown: str) -> set[str]:
    """Return what a text is drawn as besides paragraphs of text, code, and lists of them."""
    plain = {
        *("paragraph_open", "paragraph_close", "inline", "text", "softbreak", "code_inline"),
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "fence"),
    }
    tokens = RENDERER.parse(markdown)
    found = {child.type for token in tokens for child in (token, *(token.children or ()))}
    # Within code nothing is made a link of.
    prose = [re.sub(r"`[^`]*`", "", token.content) for token in tokens if token.type == "inline"]
    return (found - plain) | set(AUTOLINK.findall("\n".join(prose)))


# --- One text --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "office-pc_2 (Bob's)",
        "Büro-PC 3, 1. OG",
        "nas.local",
        'Debian GNU/Linux 12 (bookworm) "testing"',
        "AT&T box",
        "#1 in the attic!",
        "root@office",
        "3 + 4 = 7",
        "90 %; 12:30",
        "コンピュータ",
        "pilot-agent id --new",
        "/etc/polkit-1/rules.d/50-pilot-agent.rules",
    ],
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    """They stand in titles, too, which are no Markdown."""
    assert escape_markdown(name) == name
    assert RENDERER.render(name) == f"<p>{escapeHtml(name)}</p>\n"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("![p](http://e.example/p.png)", r"!\[p\](http\://e.example/p.png)"),
        ("[Sign in](https://e.example)", r"\[Sign in\](https\://e.example)"),
        ("[x]: http://e.example", r"\[x\]: http\://e.example"),
        ("<https://e.example>", r"\<https\://e.example\>"),
        ("HTTP://e.example", r"HTTP\://e.example"),
        ("WWW.e.example", r"WWW\.e.example"),
        ("me@e.example", r"me\@e.example"),
        ("<img src=x onerror=a()>", r"\<img src=x onerror=a()\>"),
        ("<!-- gone", r"\<!-- gone"),
        ("&lt;b&gt; &#60;", r"\&lt;b\&gt; \&#60;"),
        ("# a heading", r"\# a heading"),
        ("- an item", r"\- an item"),
        ("12. an item", r"12\. an item"),
        ("---", r"\---"),
        ("===", r"\==="),
        ("> a quote", r"\> a quote"),
        ("a | b", r"a \| b"),
        ("```sh", r"\`\`\`sh"),
        ("a `b` c", r"a \`b\` c"),
        ("*a* _b_ c_d ~~e~~", r"\*a\* \_b\_ c_d \~\~e\~\~"),
        (r"C:\Users \[x](y)", r"C:\\Users \\\[x\](y)"),
        ("a\r\n\r\n# b\tc", "a # b c"),
        ("    indented", "indented"),
        ("\u202egpj.exe", "gpj.exe"),
        ("of\u200bfice\ufeff\u2066", "office"),
        ("\u200b \u202e", r"\-"),
        ("-", r"\-"),
    ],
)
def test_markup_is_escaped(text: str, escaped: str) -> None:
    """Whatever would be more than a text on one line."""
    assert escape_markdown(text) == escaped
    assert links_and_markup(escaped) == set()


@given(text=ANYTHING)
@settings(deadline=None, max_examples=400)
def test_any_text_is_drawn_as_it_is(text: str) -> None:
    """At the start of a line, within one, and in a list."""
    escaped, drawn = escape_markdown(text), escapeHtml(visible(text))

    assert RENDERER.render(escaped) == f"<p>{drawn}</p>\n"
    assert RENDERER.render(f"It is {escaped}.") == f"<p>It is {drawn}.</p>\n"
    assert RENDERER.render(f"- {escaped}") == f"<ul>\n<li>{drawn}</li>\n</ul>\n"
    assert not AUTOLINK.search(escaped)


@given(text=ANYTHING)
@settings(deadline=None, max_examples=200)
def test_any_text_is_drawn_line_by_line(text: str) -> None:
    """Paragraphs stay, and nothing else comes of it."""
    markdown = escape_markdown_lines(text)

    assert links_and_markup(markdown) <= {"hardbreak"}


@given(text=ANYTHING)
@settings(deadline=None, max_examples=200)
def test_code_stays_code(text: str) -> None:
    """Nothing in it ends it."""
    _, paragraph, _ = RENDERER.parse(f"a {code_span(f'{text}.')} b")
    assert [child.type for child in paragraph.children or ()] == ["text", "code_inline", "text"]
    assert [token.type for token in RENDERER.parse(code_block(text))] == ["fence"]


def test_code_keeps_its_lines() -> None:
    """To be copied as they are, without what is not to be seen."""
    assert code_block("a(\n\t b);\u202e\n```\n") == "````\na(\n\t b);\n```\n````"


def test_markdown_of_our_own_stays() -> None:
    """Everything else is escaped."""
    assert markdown_placeholders({"name": "*a*", "code": Markdown("`*a*`")}) == {
        "name": r"\*a\*",
        "code": "`*a*`",
    }


# --- Where it is drawn -----------------------------------------------------------------------


def texts(tree: Mapping[str, Any], *path: str) -> str:
    """Return the text at a path of the translations."""
    for key in path:
        tree = tree[key]
    assert isinstance(tree, str)
    return tree


def assert_drawn(placeholders: Mapping[str, str] | None, *path: str) -> None:
    """Check what a description becomes with its placeholders, in both languages."""
    for language in TRANSLATIONS.values():
        text = texts(language, *path)
        drawn = text.format_map(placeholders or {})
        assert links_and_markup(drawn) == set(), drawn
        if "{name}" in text:
            assert escape_markdown(HOSTILE) in drawn


@pytest.mark.usefixtures("enable_custom_integrations", "mqtt_mock")
async def test_the_dialog_of_a_discovered_host(hass: HomeAssistant, host: FakeHost) -> None:
    """Any client of the broker may have announced it."""
    fields = ("name", "os", "arch", "manufacturer", "model")
    await host.announce(
        host={"id": HOST_ID, **dict.fromkeys(fields, HOSTILE)},
        agent={"version": HOSTILE, "python": HOSTILE},
    )
    await hass.async_block_till_done(wait_background_tasks=True)
    [flow] = hass.config_entries.flow.async_progress_by_handler("pilot")

    form = await hass.config_entries.flow.async_configure(flow["flow_id"])

    placeholders = form["description_placeholders"]
    assert_drawn(placeholders, "config", "step", "confirm", "description")
    assert RENDERER.renderInline(placeholders["os"]) == escapeHtml(DRAWN)


@pytest.mark.usefixtures("mqtt_mock", "host")
@pytest.mark.parametrize("step", ["pair", "topic_prefix", "reinstalled", "reauth_confirm"])
async def test_the_dialogs_of_a_host_that_is_set_up(
    hass: HomeAssistant, step: str, quick_search: None
) -> None:
    """Its name has become the title of its entry."""
    entry = make_entry(hass, name=HOSTILE)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    if step == "reauth_confirm":
        form = await entry.start_reauth_flow(hass, data={"reason": "host_forgot"})
    else:
        menu = await entry.start_reconfigure_flow(hass)
        assert menu["description_placeholders"] == {"name": escape_markdown(HOSTILE)}
        form = await hass.config_entries.flow.async_configure(
            menu["flow_id"], {"next_step_id": step}
        )

    assert form["step_id"] == step
    assert_drawn(form["description_placeholders"], "config", "step", step, "description")


@pytest.mark.usefixtures("enable_custom_integrations")
async def test_every_repair(
    hass: HomeAssistant, mqtt_mock: MqttMockHAClient, issue_registry: ir.IssueRegistry
) -> None:
    """Whatever a host says of itself, of another one, and of what is to be done."""
    entry = make_entry(hass, name=HOSTILE)
    missing = {"reason": "polkit", "fix": f"{HOSTILE.replace('\n', ' ')}\n\n```\n<b>\n{HOSTILE}"}
    announce = parse_announce(
        json.dumps(
            ANNOUNCE
            | {
                "host": ANNOUNCE["host"] | {"name": HOSTILE},
                "agent": {"version": HOSTILE, "python": "3"},
                "conflict": {"session": "b0b0b0b0b0b0b0b0", "name": HOSTILE},
                "update": {"source": "folder", "failed": {"version": HOSTILE, "reason": HOSTILE}},
                "commands": [{"key": "power.reboot", "missing": missing}],
            }
        ).encode(),
        HOST_ID,
    )
    assert announce is not None
    for err_kind in ("protocol_newer", "protocol_older"):
        repairs.async_report_version(hass, entry, repairs.ProtocolError(err_kind, "", 3))
    repairs.async_report_removed(hass, entry)
    repairs.async_report_exposed(hass, entry, ["switch.office_pc_power"])
    for difference, kind in ((99, "clock_ahead"), (-99, "clock_behind")):
        repairs.async_report_clock(hass, entry, difference)
        found = issue_registry.async_get_issue("pilot", f"clock_{HOST_ID}")
        assert found is not None
        assert_drawn(found.translation_placeholders, "issues", kind, "description")
    raised = {key for _, key in issue_registry.issues}
    assert len(raised) == 5
    repairs.async_follow_update(hass, entry, announce)
    repairs.async_follow_permissions(hass, entry, announce)
    for issue in list(issue_registry.issues.values()):
        key = issue.translation_key or ""
        told = TRANSLATIONS["en"]["issues"][key]
        fix_flow = ("fix_flow", "step", *told["fix_flow"]["step"]) if issue.is_fixable else ()
        for language in LANGUAGES:
            used = map(placeholders, flat(TRANSLATIONS[language]["issues"][key]).values())
            assert set(issue.translation_placeholders or {}) == set.union(*used), key
        assert_drawn(issue.translation_placeholders, "issues", key, *fix_flow, "description")

    # A good announce withdraws some of them.
    repairs.async_follow_announce(hass, entry, announce)
    found = issue_registry.async_get_issue("pilot", f"conflict_{HOST_ID}")
    assert found is not None
    assert_drawn(found.translation_placeholders, "issues", "conflict", "description")


async def test_what_an_update_says(
    hass: HomeAssistant, online: FakeHost, hass_ws_client: WebSocketGenerator
) -> None:
    """Why there is none, and what is new in it."""
    await online.announce(
        update={
            "source": "folder",
            "newest": {"version": "9.0.0", "notes": f"- {HOSTILE}\n- [b](http://e.example)"},
            "trouble": HOSTILE[:200],
        }
    )
    state = hass.states.get("update.office_pc_agent")
    assert state is not None
    assert links_and_markup(state.attributes["release_summary"]) == set()

    client = await hass_ws_client(hass)
    await client.send_json_auto_id(
        {"type": "update/release_notes", "entity_id": "update.office_pc_agent"}
    )
    notes = (await client.receive_json())["result"]
    assert links_and_markup(notes) == {"hardbreak"}
    assert RENDERER.render(notes).count("<p>") == 2


def test_new_texts_take_the_same_way() -> None:
    """Repairs are made in one place, notifications nowhere, and code spans hold our own texts."""
    sources = {path.name: path.read_text() for path in PACKAGE.rglob("*.py")}

    assert {
        name: text.count("ir.async_create_issue(")
        for name, text in sources.items()
        if "ir.async_create_issue(" in text
    } == {"issues.py": 1}
    assert not [name for name, text in sources.items() if "persistent_notification" in text]
    for language in TRANSLATIONS.values():
        descriptions = [json.dumps(language[part]) for part in ("config", "options", "issues")]
        spans = re.findall(r"`[^`\"]*{(\w+)}[^`\"]*`", "\n".join(descriptions))
        assert set(spans) == {"command"}


@pytest.fixture
def entry(hass: HomeAssistant, host: FakeHost) -> MockConfigEntry:
    """Return the entry of a host, which is not set up yet."""
    return make_entry(hass)
