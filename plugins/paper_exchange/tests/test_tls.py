"""`--tls`: https with a certificate that is given, or made."""

from __future__ import annotations

import os
import signal
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def fetch(url: str, certificate: Path | str | bool) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{url}/v3/ping", verify=certificate if certificate is True else str(certificate), timeout=5)


def ended(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "axisor_paper_exchange", "--port", "0", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_a_certificate_is_made_and_kept(start: Any, tmp_path: Path) -> None:
    certificate, key = tmp_path / "paper.pem", tmp_path / "paper.key"
    made = []
    for _ in range(2):
        with start("--tls", str(certificate)) as paper:
            assert urlsplit(paper.url).scheme == "https"
            for url in (paper.url, paper.url.replace("127.0.0.1", "localhost")):
                answer = fetch(url, certificate)
                assert (answer.status_code, answer.json()) == (200, "pong")
            with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
                fetch(paper.url, True)
            with pytest.raises(requests.ConnectionError):
                fetch(paper.url.replace("https", "http"), certificate)
            paper.process.send_signal(signal.SIGTERM)
            assert paper.process.wait(10) == 0
            assert paper.process.stderr.read() == ""
        made.append((certificate.read_bytes(), key.read_bytes()))
    assert made[0] == made[1]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in made[0][0]


def test_who_trusts_the_certificate_trusts_nothing_that_it_signs(start: Any, tmp_path: Path) -> None:
    certificate = tmp_path / "paper.pem"
    with start("--tls", str(certificate)):
        context = ssl.create_default_context(cafile=str(certificate))
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 0}


def test_a_key_elsewhere(start: Any, tmp_path: Path) -> None:
    certificate, key = tmp_path / "paper.pem", tmp_path / "elsewhere.pem"
    with start("--tls", str(certificate), "--tls-key", str(key)) as paper:
        assert fetch(paper.url, certificate).json() == "pong"
    assert key.exists()
    assert not (tmp_path / "paper.key").exists()


@pytest.mark.parametrize(("kind", "lost"), [("drop_after", True), ("truncated", True), ("slow_bytes", False)])
def test_faults(start: Any, tmp_path: Path, kind: str, lost: bool) -> None:
    certificate = tmp_path / "paper.pem"
    with start("--tls", str(certificate)) as paper:
        paper.session.trust_env, paper.session.verify = False, str(certificate)
        paper.fault(kind, route="/v3/ping", seconds=0.01)
        try:
            got = fetch(paper.url, certificate).json()
        except requests.RequestException:
            got = None
    assert got == (None if lost else "pong")


def locked_key() -> bytes:
    """A key that needs a password."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )


@pytest.mark.parametrize("key", [None, b"no key", locked_key()])
def test_what_is_no_pair_is_refused(tmp_path: Path, key: bytes | None) -> None:
    certificate = tmp_path / "paper.pem"
    certificate.write_text("no certificate")
    if key is not None:
        (tmp_path / "paper.key").write_bytes(key)
    refused = ended("--tls", certificate)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith("Error: ")
    assert str(certificate) in refused.stderr
    assert certificate.read_text() == "no certificate"


def test_a_key_without_its_certificate_is_left_alone(tmp_path: Path) -> None:
    key = tmp_path / "paper.key"
    key.write_text("precious")
    assert ended("--tls", tmp_path / "paper.pem").returncode == 1
    assert key.read_text() == "precious"


def test_nowhere_to_write(tmp_path: Path) -> None:
    refused = ended("--tls", tmp_path / "missing" / "paper.pem")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith(": No such file or directory\n")


def test_a_key_alone_is_of_no_use(tmp_path: Path) -> None:
    refused = ended("--tls-key", tmp_path / "paper.key")
    assert refused.returncode == 2
    assert "--tls" in refused.stderr


def test_making_one_takes_cryptography(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    refused = ended("--tls", tmp_path / "paper.pem")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "pip install 'axisor-paper-exchange[tls]'" in refused.stderr
