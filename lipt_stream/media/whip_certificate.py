"""A certificate for one WHIP session: FFmpeg's own, with an RSA key, is refused by peers that take no RSA.

The peer knows it by its fingerprint in the offer (RFC 8827, 6.5), so each session makes one and signs it itself.
"""

from __future__ import annotations

import datetime
import importlib.util
import os
import tempfile

from lipt_stream.errors import SettingsError


def require_cryptography() -> None:
    """Raises SettingsError where the package that makes certificates is not installed."""
    if importlib.util.find_spec("cryptography") is None:
        raise SettingsError("WHIP needs cryptography", "In the checkout: .venv/bin/pip install -e '.[whip]'")


def certificate_options() -> dict[str, str]:
    """FFmpeg's options that name the files of a new certificate and its key. They last as long as this process."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)  # clocks differ
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + 30 * day)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return {"cert_file": _file_without_name(certificate), "key_file": _file_without_name(private)}


def _file_without_name(data: bytes) -> str:
    """A path to open `data` by; nothing of it is left when this process is gone, however it ends."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return f"/dev/fd/{os.dup(file.fileno())}"
