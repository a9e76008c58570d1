"""The settings of a host's agent, changed in the options flow by the agent's own code."""

from functools import partial
from typing import TYPE_CHECKING, Any

from homeassistant.data_entry_flow import FlowResultType
import pytest

from companion_agent import platforms
from companion_agent.config import load
from companion_agent.config.known import known_collectors
from companion_agent.config.overlay import Overlay, remote_keys
from companion_agent.config.reloader import Reloader
from companion_agent.config.remote import RemoteSettings
from companion_agent.plugins.config import ConfigPlugin
from support.integration_agent import FakeAgent, FakeBroker
from support.integration_host import make_entry

from ..texts import TRANSLATIONS  # noqa: TID252

if TYPE_CHECKING:
    from pathlib import Path

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry

    from companion_agent.config.policy import Policy

INTERVAL = "collectors.cpu.interval"


class Settings:
    """The settings of the agent on the bus, and the dialog that changes them."""

    def __init__(
        self, hass: HomeAssistant, agent: FakeAgent, entry: MockConfigEntry, path: Path
    ) -> None:
        """Offer the commands of the agent's own plug-in."""
        self.hass = hass
        self.agent = agent
        self.entry = entry
        self.path = path
        self.write("")
        self.reloader = Reloader(load(path, {}), partial(load, path, {}))
        remote = RemoteSettings(self.reloader, known_collectors())
        self.plugin = ConfigPlugin(platforms.current(), remote)

    def write(self, text: str) -> None:
        """Write the host's own file."""
        state = self.path.parent / "agent-state"
        self.path.write_text(f"broker: localhost\nstate_dir: {state}\n{text}\n")

    async def offer(self) -> None:
        """Announce that settings can be changed."""
        self.agent.dispatcher.offer({self.plugin: self.plugin.commands()})
        self.agent.announce()
        await self.hass.async_block_till_done()

    async def open(self) -> Any:
        """Choose the agent's settings in the menu."""
        flow = self.hass.config_entries.options
        menu = await flow.async_init(self.entry.entry_id)
        return await flow.async_configure(menu["flow_id"], {"next_step_id": "settings"})

    async def enter(self, form: Any, **entered: Any) -> Any:
        """Submit a form."""
        return await self.hass.config_entries.options.async_configure(form["flow_id"], entered)


@pytest.fixture
async def settings(
    hass: HomeAssistant, agent: FakeAgent, paired: MockConfigEntry, tmp_path: Path
) -> Settings:
    """Return the settings of the paired host."""
    settings = Settings(hass, agent, paired, tmp_path / "config.yaml")
    await settings.offer()
    return settings


def suggested(form: Any) -> dict[str, Any]:
    """Return what the fields of a form show."""
    return {
        str(field): field.description["suggested_value"] for field in form["data_schema"].schema
    }


async def test_several_settings_are_changed_as_one(settings: Settings) -> None:
    """A form for each that was chosen, made from what the agent says of it."""
    chooser = await settings.open()
    assert chooser["step_id"] == "settings"
    chosen = ["collectors_cpu", "collectors_memory", "log"]

    form = await settings.enter(chooser, sections=chosen)
    assert suggested(form) == {"enabled": True, "interval": 10}
    assert form["description_placeholders"]["section"] == "Processor"
    assert form["last_step"] is False
    form = await settings.enter(form, enabled=True, interval=30)
    form = await settings.enter(form, enabled=False, interval=30)
    assert suggested(form) == {"level": "info"}
    assert form["last_step"] is True
    done = await settings.enter(form, level="debug")

    assert done["type"] is FlowResultType.CREATE_ENTRY
    config = settings.reloader.config
    assert config.collector("cpu").interval == 30
    assert not config.collector("memory").enabled
    assert config.log.level == "debug"
    assert settings.entry.options == {}


async def test_every_section_has_a_name(settings: Settings) -> None:
    """In every language, and every field has a text."""
    chooser = await settings.open()
    sections = chooser["data_schema"].schema["sections"].config["options"]

    for language, texts in TRANSLATIONS.items():
        names = texts["selector"]["settings_section"]["options"]
        missing = [section for section in sections if section not in names]
        assert not missing, (language, missing)
        fields = texts["options"]["step"]["setting"]["data"]
        for key in remote_keys(known_collectors()):
            name = key.rpartition(".")[2]
            assert {name, f"{name}_fixed"} <= fields.keys(), language


async def test_when_a_computer_counts_as_not_in_use(settings: Settings) -> None:
    """What of its user is told cannot be set beside it."""
    form = await settings.enter(await settings.open(), sections=["desktop"])
    assert suggested(form) == {"idle_after": 300}
    assert form["description_placeholders"]["default_idle_after"] == "300"

    done = await settings.enter(form, idle_after=600)

    assert done["type"] is FlowResultType.CREATE_ENTRY
    assert settings.reloader.config.desktop.idle_after == 600


async def test_what_is_usual_again_is_taken_back(settings: Settings) -> None:
    """So that later versions may have other defaults."""
    kept = Overlay({INTERVAL: 30, "log.level": "debug", "collectors.cpu.enabled": False})
    kept.write(settings.reloader.config.state_dir)
    settings.reloader.read()

    form = await settings.enter(await settings.open(), sections=["collectors_cpu"])
    assert suggested(form) == {"enabled": False, "interval": 30}
    done = await settings.enter(form, enabled=True)

    assert done["type"] is FlowResultType.CREATE_ENTRY
    kept = Overlay.read(settings.reloader.config.state_dir)
    assert kept.values == {"log.level": "debug"}


async def test_disks_are_chosen_from_those_that_are_reported(settings: Settings) -> None:
    """Others can be typed."""
    form = await settings.enter(await settings.open(), sections=["collectors_disk"])
    choice = form["data_schema"].schema["include"].config
    assert (choice["options"], choice["custom_value"]) == (["/"], True)

    await settings.enter(form, enabled=True, interval=60, include=["/", "/mnt/*"], exclude=[])

    assert settings.reloader.config.collector("disk").selection.include == ("/", "/mnt/*")


async def test_nothing_changed_sends_nothing(settings: Settings, bus: FakeBroker) -> None:
    """Neither does an empty choice."""
    form = await settings.enter(await settings.open(), sections=[])
    assert form["errors"] == {"sections": "nothing_chosen"}
    form = await settings.enter(form, sections=["collectors_cpu"])
    done = await settings.enter(form, **suggested(form))

    assert done["type"] is FlowResultType.CREATE_ENTRY
    assert bus.commands("config.set") == []


async def test_what_the_file_fixes_is_locked_with_its_line(settings: Settings) -> None:
    """It is shown, and nothing that is entered for it counts."""
    settings.write("collectors: {cpu: {interval: 20}}")
    settings.reloader.read()

    form = await settings.enter(await settings.open(), sections=["collectors_cpu"])

    assert suggested(form) == {"enabled": True, "interval_fixed": 20}
    assert form["data_schema"].schema["interval_fixed"].config["read_only"] is True
    where = form["description_placeholders"]["interval_where"]
    assert where.endswith("config.yaml:3")
    await settings.enter(form, enabled=False, interval_fixed=99)
    kept = Overlay.read(settings.reloader.config.state_dir)
    assert kept.values == {"collectors.cpu.enabled": False}


async def test_a_stale_form_is_drawn_again(settings: Settings) -> None:
    """With the settings as they are now."""
    form = await settings.enter(await settings.open(), sections=["collectors_cpu"])
    Overlay({INTERVAL: 45}).write(settings.reloader.config.state_dir)
    settings.reloader.read()

    form = await settings.enter(form, enabled=False, interval=30)

    assert form["errors"] == {"base": "stale"}
    assert suggested(form) == {"enabled": True, "interval": 45}
    done = await settings.enter(form, enabled=False, interval=45)
    assert done["type"] is FlowResultType.CREATE_ENTRY
    assert not settings.reloader.config.collector("cpu").enabled


async def test_errors_are_shown_at_their_fields(settings: Settings) -> None:
    """The form that they are in is drawn again, with what was entered, and those after it."""
    form = await settings.enter(await settings.open(), sections=["collectors_cpu", "log"])
    form = await settings.enter(form, enabled=False, interval=30)
    settings.write("collectors: {cpu: {interval: 20}}")

    form = await settings.enter(form, level="debug")

    assert form["errors"] == {"interval": "fixed"}
    assert "config.yaml:3" in form["description_placeholders"]["details"]
    assert suggested(form) == {"enabled": False, "interval": 30}
    form = await settings.enter(form, enabled=False, interval=10)
    assert suggested(form) == {"level": "info"}


@pytest.mark.parametrize(
    ("text", "error"), [("nmae: x", "did you mean name"), ("state_dir: /x", "is already set")]
)
async def test_a_file_with_mistakes_says_so(settings: Settings, text: str, error: str) -> None:
    """Nothing is changed."""
    form = await settings.enter(await settings.open(), sections=["log"])
    settings.write(text)

    refused = await settings.enter(form, level="debug")

    assert refused["reason"] == "settings_failed"
    assert error in refused["description_placeholders"]["error"]
    assert settings.reloader.config.log.level == "info"


async def test_a_host_that_rehearses(settings: Settings, policy: Policy) -> None:
    """A dry run tells the settings, and changes none."""
    object.__setattr__(settings.agent.dispatcher._policy, "dry_run", True)
    form = await settings.enter(await settings.open(), sections=["log"])

    refused = await settings.enter(form, level="debug")

    assert refused["reason"] == "settings_failed"
    assert "only simulated" in refused["description_placeholders"]["error"]


async def test_a_host_that_does_not_answer(settings: Settings) -> None:
    """The dialog says why, and ends."""
    form = await settings.enter(await settings.open(), sections=["log"])
    settings.agent.silent = True

    refused = await settings.enter(form, level="debug")

    assert refused["reason"] == "settings_failed"
    assert (await settings.open())["reason"] == "settings_failed"


async def test_an_answer_that_is_not_understood(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer agent may say it otherwise."""
    monkeypatch.setattr(RemoteSettings, "describe", lambda *_: "{}")

    refused = await settings.open()

    assert refused["reason"] == "settings_failed"
    assert "not understood" in refused["description_placeholders"]["error"]


async def test_an_older_agent_says_so(hass: HomeAssistant, paired: MockConfigEntry) -> None:
    """It knows nothing of settings."""
    flow = hass.config_entries.options
    menu = await flow.async_init(paired.entry_id)

    refused = await flow.async_configure(menu["flow_id"], {"next_step_id": "settings"})

    assert refused["reason"] == "settings_not_offered"
    assert refused["description_placeholders"]["version"]


async def test_a_host_that_is_not_paired_says_how(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Before it is heard, nothing is known of it."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    flow = hass.config_entries.options

    async def refusal() -> Any:
        menu = await flow.async_init(entry.entry_id)
        return await flow.async_configure(menu["flow_id"], {"next_step_id": "settings"})

    assert (await refusal())["reason"] == "settings_not_heard"
    agent.come_online()
    await hass.async_block_till_done()
    refused = await refusal()
    assert refused["reason"] == "settings_not_paired"
    assert refused["description_placeholders"]["command"] == "sudo pilot-agent pair"
