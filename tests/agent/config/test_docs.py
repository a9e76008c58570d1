"""`docs/configuration.md` says what the schema says."""

from __future__ import annotations

from pathlib import Path

import pytest

from companion_agent.config import ConfigError, load, reference
from companion_agent.config.environment import variable
from companion_agent.plugins import registry

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"


def table(header: str) -> list[tuple[str, ...]]:
    lines = DOCS.read_text("utf-8").splitlines()
    start = lines.index(header) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split(" | ")))
    return rows


@pytest.mark.parametrize("name", ["settings", "collectors"])
def test_the_generated_tables(name: str) -> None:
    text = DOCS.read_text("utf-8").partition(f"<!-- generated: {name} -->\n\n")[2]

    assert text.partition("\n\n<!-- end generated -->")[0] == reference.generated()[name]


def test_the_table_of_keys() -> None:
    rows = table("| key | expected | default | |")

    port = "1883, with TLS 8883; by WebSocket 80 and 443"
    assert ("`broker.port`", "a whole number from 1 to 65535", port) in [row[:3] for row in rows]


def test_the_table_of_collectors() -> None:
    header = "| collector | interval in seconds | `include` and `exclude` choose |"

    assert table(header) == [
        (f"`{name}`", f"{c.interval:g}", c.selects) for name, c in registry.collectors().items()
    ]


def test_the_table_of_variables() -> None:
    for key, names in table("| key | variable |"):
        assert names.split("`")[1] == variable(key.strip("`").split("."))


def examples() -> list[str]:
    parts = DOCS.read_text("utf-8").split("```yaml\n")[1:]
    return [part.split("```")[0] for part in parts]


@pytest.mark.parametrize("example", examples())
def test_the_examples(example: str, tmp_path: Path) -> None:
    if not example.startswith("broker"):
        example += "broker: mqtt.local\n"
    (tmp_path / "broker-password").write_text("secret")
    path = tmp_path / "config.yaml"
    path.write_text(example.replace("/etc/pilot-agent", str(tmp_path)))
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).touch()

    try:
        load(path, {})
    except ConfigError as error:
        pytest.fail(str(error))
