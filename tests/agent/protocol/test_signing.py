"""Keys and signatures."""

from __future__ import annotations

import base64
import timeit

from hypothesis import given, strategies as st
import pytest

from companion_agent.protocol.signing import derive, fleet_secret, hkdf, sign, verify

SECRET = bytes(range(32))
UTF8 = st.characters(codec="utf-8")


def test_hkdf_is_that_of_rfc_5869() -> None:
    # Appendix A.1, cut to the first 32 of its 42 bytes.
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_every_host_and_direction_has_its_own_key() -> None:
    one, other = (
        derive("fleet", SECRET, "pilot/v2", "host-one"),
        derive("fleet", SECRET, "pilot/v2", "host-two"),
    )
    assert len({one.command, one.report, other.command, other.report}) == 4
    assert derive("fleet", SECRET, "house/pilot", "host-one") != one


def test_a_signature_holds_for_one_key_topic_and_body() -> None:
    signature = sign(SECRET, "a/command/power.lock", b"{}")
    assert verify(SECRET, "a/command/power.lock", b"{}", signature)
    assert not verify(bytes(32), "a/command/power.lock", b"{}", signature)
    assert not verify(SECRET, "a/command/power.off", b"{}", signature)
    assert not verify(SECRET, "a/command/power.lock", b"{} ", signature)


@given(st.text(st.characters(exclude_characters="\n", codec="utf-8")), st.text(UTF8), st.text(UTF8))
def test_topic_and_body_cannot_be_cut_elsewhere(topic: str, body: str, other: str) -> None:
    signature = sign(SECRET, topic, body.encode())
    assert verify(SECRET, topic, body.encode(), signature)
    if body != other:
        assert not verify(SECRET, topic, other.encode(), signature)
    if "\n" in body:
        head, _, tail = body.partition("\n")
        assert sign(SECRET, f"{topic}\n{head}", tail.encode()) == signature  # hence no such topic


def test_keys_do_not_show_in_logs() -> None:
    keys = derive("fleet", SECRET, "pilot/v2", "host-one")
    assert keys.command.hex() not in repr(keys)
    assert repr(keys) == "Keys(key_id='fleet')"


def test_signing_costs_less_than_30_microseconds() -> None:
    body = b"x" * 300
    best = min(
        timeit.repeat(lambda: sign(SECRET, "pilot/v2/h/command/k", body), number=200, repeat=20)
    )
    assert best / 200 < 30e-6


# --- Fleet keys ------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=64))
def test_a_fleet_key_is_base64_of_random_bytes(secret: bytes) -> None:
    text = base64.b64encode(secret).decode()
    if len(set(secret)) >= 16:
        assert fleet_secret(f" {text[:20]}\n{text[20:]}\n") == secret
    else:
        with pytest.raises(ValueError, match="not random"):
            fleet_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "correct horse battery staple is not a key at all",
        base64.b64encode(bytes(range(31))).decode(),
        "A" * 44,
        "ünïcödé" * 8,
    ],
)
def test_what_is_no_fleet_key_says_how_to_make_one(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32"):
        fleet_secret(text)
