"""Environment files: read as a shell reads them, and refused where readers differ."""

from __future__ import annotations

from pathlib import Path
import shlex
import shutil
import subprocess
import tempfile

from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from companion_agent.cli.migrate import env

# What a person can type: no control characters, but whatever else there is.
VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("'\"\\ #$`;\n"))


def values(text: str) -> dict[str, str]:
    lines, wrong = env.read(text)
    assert not wrong
    return {line.name: line.value for line in lines}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("HOST=mqtt.local", "mqtt.local"),
        ("export HOST=mqtt.local", "mqtt.local"),
        ("  HOST = mqtt.local  ", "mqtt.local"),
        ("HOST='my # host'", "my # host"),
        ('HOST="my \\"host\\" costs \\$1"', 'my "host" costs $1'),
        ('HOST="C:\\certs"', "C:\\certs"),
        ("HOST=My PC", "My PC"),
        ("HOST=a#b", "a#b"),
        ("HOST=a # comment", "a"),
        ("HOST='a' # comment", "a"),
        ("HOST=", ""),
        ("HOST= # comment", ""),
        ("HOST=''", ""),
        ('HOST="two\nlines"', "two\nlines"),
        ('HOST="one \\\nline"', "one line"),
        ("HOST='it'\"'\"'s'", "it's"),
        ("HOST=a\r\n", "a"),
    ],
)
def test_values(line: str, value: str) -> None:
    assert values(f"# v1\n; and\n\n{line}") == {"HOST": value}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mqtt.local", "is not NAME=VALUE"),
        ("1HOST=x", "is not NAME=VALUE"),
        ("PATH=C:\\certs", "backslash outside quotes"),
        ("NAME=Tom's PC", "quote in its middle"),
        ("NAME='Tom", "no closing '"),
        ('NAME="Tom" PC', "goes on after its closing quote"),
    ],
)
def test_what_readers_understand_differently_is_named(line: str, problem: str) -> None:
    _, (wrong,) = env.read(f"A=1\n\n{line}\n")

    assert wrong.number == 3
    assert problem in wrong.problem


def test_a_value_that_is_taken_as_it_stands_is_noted() -> None:
    lines, _ = env.read("A=pa$word\nB='pa$word'\nC=\"pa$word\"\nD=1 # one\n")

    assert [bool(line.note) for line in lines] == [True, False, True, True]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, min_size=1, max_size=30))
def test_what_is_quoted_is_read_as_a_shell_reads_it(originals: list[str]) -> None:
    shell = shutil.which("sh")
    if not shell:
        pytest.skip("no shell here")
    lines = [f"export V{number}={_quoted(text)}" for number, text in enumerate(originals)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "v1.env")
        path.write_bytes("\n".join(lines).encode())
        script = f". {path}; " + "".join(
            f'printf "%s\\0" "$V{number}"; ' for number in range(len(originals))
        )
        said = subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout
        read = values(path.read_bytes().decode())

    assert list(read.values()) == said.decode().split("\0")[:-1] == originals


def _quoted(text: str) -> str:
    """Quote, so that a value that needs no quotes has some where readers differ."""
    quoted = shlex.quote(text)
    return quoted if quoted != text or not text else f"'{text}'"


@given(st.text())
def test_any_text_is_read_or_named(text: str) -> None:
    lines, wrong = env.read(text)

    numbers = [line.number for line in lines] + [one.number for one in wrong]
    assert all(1 <= number <= text.count("\n") + 1 for number in numbers)
    assert len(numbers) == len(set(numbers))
