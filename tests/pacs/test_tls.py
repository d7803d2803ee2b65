"""TLS as a hospital has it: a private authority, client certificates, and no connection where these do not fit."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.credentials import Credentials
from recursive_expand.errors import Unreachable

from .fake import FakePacs


class Authority:
    """A certificate authority, and what it signs, as files."""

    def __init__(self, folder, name):
        folder.mkdir()
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._name, self._key, ca=True).sign(self._key, hashes.SHA256())
        self.file = folder / "ca.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def sign(self, name):
        """(certificate's file, key's file)"""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, ca=False)
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        ).sign(self._key, hashes.SHA256())
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def _builder(self, subject, key, *, ca):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "hospital", "hospital")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "stranger", "stranger")


@pytest.fixture(scope="module")
def pacs_url(hospital):
    """A PACS with the hospital's certificate, which wants one of the hospital's clients.

    Debian's Orthanc 1.10.1 is none: it ends at the first TLS connection.
    """
    certificate, key = hospital.sign("pacs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(hospital.file)
    context.verify_mode = ssl.CERT_REQUIRED
    fake = FakePacs(context)
    yield fake.url
    fake.close()


def search(url, **environ):
    given = Credentials.from_environment({f"RECURSIVE_PACS_{name}": str(value) for name, value in environ.items()})
    return list(Pacs(url, given).pages("series", {}, ()))


def test_the_hospitals_authority_and_client_certificate_open_it(pacs_url, hospital):
    certificate, key = hospital.sign("reader")
    assert search(pacs_url, CA=hospital.file, CERTIFICATE=certificate, KEY=key) == []
    assert search(pacs_url, VERIFY="no", CERTIFICATE=certificate, KEY=key) == []


def test_a_pacs_whose_certificate_is_not_verified_is_refused(pacs_url, hospital, stranger):
    certificate, key = hospital.sign("reader")
    for trust in ({}, {"CA": stranger.file}):
        with pytest.raises(Unreachable, match=r"certificate is not verified.*RECURSIVE_PACS_CA"):
            search(pacs_url, CERTIFICATE=certificate, KEY=key, **trust)


def test_without_a_client_certificate_of_the_hospital_it_does_not_open(pacs_url, hospital, stranger):
    other, key = stranger.sign("stranger")
    for given in ({}, {"CERTIFICATE": other, "KEY": key}):
        with pytest.raises(Unreachable):
            search(pacs_url, CA=hospital.file, **given)
