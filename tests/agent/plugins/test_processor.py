"""The processor's settings as Home Assistant gets and sets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.cli.doctor import check_processor
from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Argument, Audience, ChoiceArgument, Selection
from companion_agent.plugins.processor.plugin import ProcessorPlugin
from companion_agent.plugins.processor.settings import ProcessorConfig
from support.agent_processor import Processor, RunningHelper
from support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.agent_screen import MachineOf, ScreenOf

pytestmark = pytest.mark.proves("processor.*")


@pytest.fixture
def processor(tmp_path: Path) -> Processor:
    return Processor("intel_pstate-active", tmp_path)


@pytest.fixture
def helper(processor: Processor) -> Iterator[RunningHelper]:
    with RunningHelper(processor) as helper:
        yield helper


@pytest.fixture
def plugin(processor: Processor) -> ProcessorPlugin:
    return ProcessorPlugin(processor.machine)


def test_reads_without_rights_and_offers_nothing_without_the_helper(
    plugin: ProcessorPlugin, screen: ScreenOf
) -> None:
    assert screen(plugin).look() == {
        "governor": "powersave",
        "energy_preference": "balance_performance",
        "minimum_frequency": 400,
        "maximum_frequency": 4400,
        "boost": True,
    }
    assert plugin.commands() == []
    assert "sudo pilot-agent setup" in plugin.left_out()["governor"]


def test_offers_what_the_hardware_has(plugin: ProcessorPlugin, helper: RunningHelper) -> None:
    offered = {command.key: command for command in plugin.commands()}

    assert {key: command.args["value"] for key, command in offered.items()} == {
        "processor.governor": ChoiceArgument(("performance", "powersave")),
        "processor.energy_preference": ChoiceArgument(
            ("default", "performance", "balance_performance", "balance_power", "power")
        ),
        "processor.minimum_frequency": Argument("MHz", 400, 3300, step=100),
        "processor.maximum_frequency": Argument("MHz", 400, 4400, step=100),
        "processor.boost": Argument("boolean", 0, 1, step=1),
    }
    assert all(command.state == key for key, command in offered.items())
    assert all(command.cooldown > 0 for command in offered.values())
    assert plugin.left_out() == {}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("governor", "performance", "performance"),
        ("energy_preference", "power", "power"),
        ("minimum_frequency", 1200.0, 1200),
        ("maximum_frequency", 2400.0, 2400),
        ("boost", 0, False),
    ],
)
def test_sets(
    plugin: ProcessorPlugin,
    helper: RunningHelper,
    screen: ScreenOf,
    name: str,
    value: str | float,
    read: object,
) -> None:
    seen = screen(plugin)

    plugin.run(f"processor.{name}", {"value": value})

    assert seen.look()[name] == read


def test_a_refusal_says_why(plugin: ProcessorPlugin, helper: RunningHelper) -> None:
    plugin.run("processor.governor", {"value": "performance"})

    with pytest.raises(CommandError, match="choose another governor first") as raised:
        plugin.run("processor.energy_preference", {"value": "power"})

    assert raised.value.reason == "failed"


def test_without_the_helper_the_way_out_is_named(plugin: ProcessorPlugin) -> None:
    with pytest.raises(CommandError, match="sudo pilot-agent setup"):
        plugin.run("processor.boost", {"value": 1})


def test_a_helper_that_does_not_want_this_user_is_named(
    plugin: ProcessorPlugin, helper: RunningHelper
) -> None:
    helper.admitted.clear()

    with pytest.raises(CommandError, match="journalctl -u pilot-agent-processor"):
        plugin.run("processor.boost", {"value": 1})


def test_what_is_left_out_is_neither_read_nor_set(
    processor: Processor, helper: RunningHelper, screen: ScreenOf
) -> None:
    plugin = ProcessorPlugin(processor.machine, Selection(include=("*_frequency",)))

    assert set(screen(plugin).look()) == {"minimum_frequency", "maximum_frequency"}
    assert {command.key for command in plugin.commands()} == {
        "processor.minimum_frequency",
        "processor.maximum_frequency",
    }


def test_a_virtual_machine_has_none(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no cpufreq"):
        ProcessorPlugin(machine("container")).collect()


def test_cores_that_differ_are_a_trouble(plugin: ProcessorPlugin, processor: Processor) -> None:
    policy = processor.kernel.policies()[0]
    processor.kernel.set_by_hand(f"{policy}/scaling_governor", "performance")

    assert plugin.collect()["governor"] is None

    assert plugin.troubles() == {"governor": "groups of cores differ: 1 performance, 2 powersave"}


class Lonely:
    """A plug-in whose Home Assistant comes and goes."""

    def __init__(self, processor: Processor, restore_after: float) -> None:
        self.clock = ManualClock()
        self.there = True
        self.plugin = ProcessorPlugin(
            processor.machine,
            None,
            ProcessorConfig(restore_after),
            Audience(lambda: self.there),
            self.clock,
        )
        self.plugin.run("processor.maximum_frequency", {"value": 2400.0})

    def after(self, seconds: float, *, there: bool) -> object:
        """Return the highest frequency that is read some time later."""
        self.there = there
        self.clock.now += seconds
        return self.plugin.collect()["maximum_frequency"]


def test_without_home_assistant_it_is_put_back(
    processor: Processor, helper: RunningHelper, caplog: pytest.LogCaptureFixture
) -> None:
    lonely = Lonely(processor, 600)

    assert lonely.after(60, there=False) == 2400
    assert lonely.after(500, there=False) == 2400
    assert lonely.after(60, there=True) == 2400, "it has come back in time"
    assert lonely.after(60, there=False) == 2400
    assert lonely.after(600, there=False) == 4400
    assert "put back as it was found" in caplog.text


def test_it_stays_where_that_is_configured(processor: Processor, helper: RunningHelper) -> None:
    lonely = Lonely(processor, 0)

    lonely.after(60, there=False)

    assert lonely.after(1_000_000, there=False) == 2400


def test_the_doctor_names_who_sets_the_same(
    plugin: ProcessorPlugin, processor: Processor, helper: RunningHelper
) -> None:
    plugin.run("processor.governor", {"value": "performance"})
    assert list(check_processor(processor.machine)) == []
    processor.machine.write("proc/812/comm", "tlp\n")
    policy = processor.kernel.policies()[0]
    processor.kernel.set_by_hand(f"{policy}/scaling_governor", "powersave")

    (found,) = check_processor(processor.machine)

    assert found.verdict == "bad"
    assert f"/{policy}/scaling_governor was set to performance and is powersave" in found.detail
    assert "TLP" in found.detail
    assert "processor.*" in found.hint
