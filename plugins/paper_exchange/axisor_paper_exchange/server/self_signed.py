"""A certificate that a server on this machine makes for itself."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["make_certificate"]

_VALID = datetime.timedelta(days=3650)
_EARLIER = datetime.timedelta(days=1)
"""A client's clock may be behind."""


def make_certificate(certificate: Path, key: Path, host: str) -> None:
    """Write a self-signed certificate for `localhost`, the loopback addresses and `host`, and its key, as PEM files.

    Only their owner may read the key. Raises `OSError`.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.touch(mode=0o600, exist_ok=False)
    key.write_bytes(pem)
    certificate.write_bytes(_signed(private, host).public_bytes(serialization.Encoding.PEM))


def _signed(private: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    public = private.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "axisor-paper-exchange")])
    now = datetime.datetime.now(datetime.UTC)
    called = dict.fromkeys(["localhost", "127.0.0.1", "::1", host])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in called]), critical=False)
        # It can't vouch for others: whoever trusts it trusts this server and nothing else.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
