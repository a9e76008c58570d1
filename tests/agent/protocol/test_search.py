"""Searches: every host answers, whatever was asked, and each at its own moment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from companion_agent.protocol.messages import parse_search, search_payload
from companion_agent.protocol.topics import Topics
from companion_agent.timing import phase

from .conftest import CONTRACT


@pytest.mark.parametrize("vector", json.loads((CONTRACT / "search.json").read_text("utf-8")))
def test_the_time_for_answers_is_what_the_contract_says(vector: dict[str, Any]) -> None:
    assert parse_search(vector["payload"].encode()) == vector["within"]


def test_what_is_no_text_is_a_search_too() -> None:
    assert parse_search(b"\xff\xfe") == 10


def test_what_one_half_writes_the_other_reads() -> None:
    assert parse_search(search_payload(2.5).encode()) == 2.5


def test_a_search_reaches_all_hosts_of_a_prefix() -> None:
    topics = Topics("pilot/v2", "9c3f6f0e3a5b4d21")

    assert topics.search == "pilot/v2/search"
    assert topics.search in topics.heard_by_host


def test_the_phase_of_a_host_is_what_the_document_says() -> None:
    # SHA-256 of the id: 3d73a7…
    assert phase("9c3f6f0e3a5b4d21") == pytest.approx(0.2400460231, abs=1e-9)
