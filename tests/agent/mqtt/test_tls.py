"""TLS: what is trusted, and which of authority, name and certificate was wrong."""

from __future__ import annotations

from collections.abc import Callable
from shutil import copy
from typing import TYPE_CHECKING

import pytest

from companion_agent.config.settings import Tls
from companion_agent.mqtt import tls
from companion_agent.secret import Secret
from support.agent_mqtt import Certificates, Mosquitto, TransportDriver
from support.system_words import NO_SUCH_FILE

if TYPE_CHECKING:
    from pathlib import Path

MakeDriver = Callable[..., TransportDriver]
MakeMosquitto = Callable[..., Mosquitto]


@pytest.fixture
def secure(make_mosquitto: MakeMosquitto, certificates: Certificates) -> Mosquitto:
    return make_mosquitto(certificates.settings())


@pytest.fixture
def exclusive(make_mosquitto: MakeMosquitto, certificates: Certificates) -> Mosquitto:
    """A broker that wants a certificate of its clients."""
    return make_mosquitto(certificates.settings(more="require_certificate true\n"))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_private_authority_is_trusted(
    driver: MakeDriver, secure: Mosquitto, certificates: Certificates, protocol: str
) -> None:
    link = driver(secure.broker(tls=Tls(certificates.ca), protocol=protocol))

    link.connect()

    assert link.transport.trouble == ""


def test_an_authority_that_the_system_does_not_know(driver: MakeDriver, secure: Mosquitto) -> None:
    trouble = driver(secure.broker(tls=Tls())).fail()

    assert trouble.endswith("for a private one set tls.ca_cert")


def test_another_authority(
    driver: MakeDriver, secure: Mosquitto, certificates: Certificates
) -> None:
    trouble = driver(secure.broker(tls=Tls(certificates.other_ca))).fail()

    assert trouble == (
        "the broker's certificate was not issued by the authority in ca_cert "
        f"{certificates.other_ca}"
    )


def test_another_name(
    driver: MakeDriver, make_mosquitto: MakeMosquitto, certificates: Certificates
) -> None:
    elsewhere = make_mosquitto(certificates.settings("elsewhere"))

    trouble = driver(elsewhere.broker(tls=Tls(certificates.ca))).fail()

    assert "the broker's certificate is not for the name 127.0.0.1" in trouble


def test_certificates_are_renewed_while_the_agent_runs(
    driver: MakeDriver, make_mosquitto: MakeMosquitto, certificates: Certificates, tmp_path: Path
) -> None:
    """By another authority, and on the broker first."""
    ca, server, key = (tmp_path / name for name in ("ca.pem", "server.pem", "server.key"))
    copy(certificates.ca, ca)
    copy(certificates.server, server)
    copy(certificates.server_key, key)
    mosquitto = make_mosquitto(f"allow_anonymous true\ncertfile {server}\nkeyfile {key}\n")
    link = driver(mosquitto.broker(tls=Tls(ca)))
    link.connect()

    mosquitto.stop()
    copy(certificates.renewed, server)
    copy(certificates.renewed_key, key)
    mosquitto.start()
    link.until(lambda: "not issued by the authority in ca_cert" in link.transport.trouble)
    copy(certificates.other_ca, ca)

    link.until(lambda: link.transport.online)


def test_a_client_certificate(
    driver: MakeDriver, exclusive: Mosquitto, certificates: Certificates
) -> None:
    link = driver(exclusive.broker(tls=certificates.client_tls()))

    link.connect()

    assert link.transport.trouble == ""


def test_no_client_certificate_where_one_is_wanted(
    driver: MakeDriver, exclusive: Mosquitto, certificates: Certificates
) -> None:
    trouble = driver(exclusive.broker(tls=Tls(certificates.ca))).fail()

    # Its alert and the end of the connection race each other to us.
    assert "client certificate" in trouble
    assert "tls.client_cert" in trouble


def test_a_client_certificate_of_a_stranger(
    driver: MakeDriver, exclusive: Mosquitto, certificates: Certificates
) -> None:
    trouble = driver(exclusive.broker(tls=certificates.client_tls("stranger"))).fail()

    assert "client certificate" in trouble


def test_a_port_without_tls(
    driver: MakeDriver, mosquitto: Mosquitto, certificates: Certificates
) -> None:
    trouble = driver(mosquitto.broker(tls=Tls(certificates.ca))).fail()

    assert "TLS" in trouble


def test_a_port_that_wants_tls(driver: MakeDriver, secure: Mosquitto) -> None:
    assert "tls: true" in driver(secure.broker()).fail()


# --- Files -----------------------------------------------------------------------------------


def test_an_authority_that_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("hello")

    with pytest.raises(tls.TlsError, match=r"ca_cert .*ca.pem holds no certificate"):
        tls.context(Tls(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(tls.TlsError, match=f"cannot read client_cert .*: {NO_SUCH_FILE}"):
        tls.context(Tls(client_cert=tmp_path / "client.pem"))


def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    mixed = Tls(client_cert=certificates.client, client_key=certificates.server_key)

    with pytest.raises(tls.TlsError, match="does not belong to client_cert"):
        tls.context(mixed)


@pytest.mark.parametrize(
    ("password", "problem"),
    [("", "is encrypted: set key_password"), ("wrong", "key_password is wrong")],
)
def test_an_encrypted_key(
    certificates: Certificates, tmp_path: Path, password: str, problem: str
) -> None:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key(certificates.client_key.read_bytes(), None)
    encrypted = tmp_path / "client.key"
    encrypted.write_bytes(
        key.private_bytes(
            form.Encoding.PEM,
            form.PrivateFormat.PKCS8,
            form.BestAvailableEncryption(b"right"),
        )
    )

    with pytest.raises(tls.TlsError, match=problem):
        tls.context(Tls(None, certificates.client, encrypted, Secret(password)))
    tls.context(Tls(None, certificates.client, encrypted, Secret("right")))
