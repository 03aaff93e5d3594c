"""Certificates that vouch for themselves, and a coordinator that is reached over TLS."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from coordinator_rig import Coordinator


def make_certificate(folder: Path, addresses: Sequence[str] = ("127.0.0.1",)) -> tuple[Path, Path]:
    """A certificate for the IP addresses that is its own authority, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, addresses[0])])
    now = datetime.datetime.now(datetime.timezone.utc)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(text)) for text in addresses])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


class SecureCoordinator(Coordinator):
    """One that is reached over TLS."""

    authority: Path

    @classmethod
    def made(cls, data: Path, certificate: tuple[Path, Path], *options: str, database: str = "") -> SecureCoordinator:
        """A coordinator with this certificate, not started yet."""
        cert, key = certificate
        tls = ("--tls-cert", str(cert), "--tls-key", str(key))
        made = cls(data, options=(*tls, *options), database=database, scheme="https")
        made.authority = cert
        return made

    @property
    def trust(self) -> dict[str, str]:
        """The variables with which a client or worker believes it."""
        return {"REQUESTS_CA_BUNDLE": str(self.authority)}

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        context = ssl.create_default_context(cafile=str(self.authority))
        try:
            return bool(urllib.request.urlopen(f"{self.url}/readyz", timeout=5, context=context).status == 200)
        except OSError:
            return False
