"""The proofs by which a controller and its gates know each other: certificates of both.

They are made by an authority whose key is forgotten at once. A gate's certificate is good for a
client only: a gate that is taken over cannot pretend to be the controller towards the others.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.core.errors import ConfigError
from controller.gate.link import CONTROLLER_NAME, LINK_FILE

_BEFORE = timedelta(days=1)  # clocks may differ

_FOR = timedelta(days=3650)  # of a controller that is never restarted

_RENEWED = timedelta(days=30)  # before they end, by a controller that looks at them

_UNUSABLE = (
    ValueError,
    TypeError,
    OSError,  # ssl.SSLError is one
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
)
"""What reading a key or a certificate raises if it is damaged, or another than it should be."""


class Proofs(msgspec.Struct, frozen=True):
    """What each side needs, in PEM: its key, its certificate, the authority's certificate."""

    controller: bytes
    gate: bytes

    def __repr__(self) -> str:
        """Never show the keys."""
        return "Proofs(…)"


def make_proofs(now: float) -> Proofs:
    """Make an authority and the certificates of both sides. ``now``: seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC)
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slicerhub gates")])
    authority = (
        _begun(name, name, key, moment)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )

    def side(common: str, purpose: x509.ObjectIdentifier) -> bytes:
        own = generate_private_key(SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        certificate = (
            _begun(subject, name, own, moment)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(common)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        return _pem(own) + b"".join(
            one.public_bytes(serialization.Encoding.PEM) for one in (certificate, authority)
        )

    return Proofs(
        controller=side(CONTROLLER_NAME, ExtendedKeyUsageOID.SERVER_AUTH),
        gate=side("gate", ExtendedKeyUsageOID.CLIENT_AUTH),
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, moment: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BEFORE)
        .not_valid_after(moment + _FOR)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def hand_out(proofs: Proofs, folder: Path) -> None:
    """Put a gate's proofs where gates read them, completely or not at all.

    Raises ConfigError if the folder cannot be written.
    """
    path = folder / LINK_FILE
    try:
        descriptor, draft = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(proofs.gate)
        Path(draft).replace(path)
    except OSError as error:
        raise ConfigError(
            [f"gates.folder (SLICERHUB_GATES_FOLDER): cannot write {path} ({error}). Check it."]
        ) from error


def server_context(proofs: Proofs) -> ssl.SSLContext:
    """Return how the controller listens: only gates get in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    with tempfile.NamedTemporaryFile() as file:  # ssl reads keys from files only
        file.write(proofs.controller)
        file.flush()
        context.load_cert_chain(file.name)
        context.load_verify_locations(cadata=certificates_of(proofs.controller)[-1])
    return context


def fault_of(proofs: Proofs, now: float) -> str | None:
    """Return why proofs that were made earlier cannot be used, or no longer; None if they can.

    ``now``: seconds since the epoch.
    """
    moment = datetime.fromtimestamp(now, UTC)
    try:
        chains = [
            _chain(proofs.controller, ExtendedKeyUsageOID.SERVER_AUTH),
            _chain(proofs.gate, ExtendedKeyUsageOID.CLIENT_AUTH),
        ]
        server_context(proofs)
    except _UNUSABLE as error:
        return f"they cannot be read ({str(error) or type(error).__name__})"
    if chains[0][-1] != chains[1][-1]:
        return "their authorities differ"
    certificates = [one for chain in chains for one in chain]
    if any(moment < one.not_valid_before_utc for one in certificates):
        return "they do not count yet"
    if any(one.not_valid_after_utc - _RENEWED <= moment for one in certificates):
        return "they have ended or will soon"
    return None


def _chain(pem: bytes, purpose: x509.ObjectIdentifier) -> list[x509.Certificate]:
    """Return the certificates of one side, the authority's last; raise if they do not fit."""
    own, authority = certificates = x509.load_pem_x509_certificates(pem)
    key = serialization.load_pem_private_key(pem, password=None)
    if own.public_key() != key.public_key():
        raise ValueError("the key is another's")
    if purpose not in own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value:
        raise ValueError("it is for the other side")
    own.verify_directly_issued_by(authority)
    return certificates


def certificates_of(pem: bytes) -> Sequence[str]:
    """Return the certificates of a chain, each in PEM, the authority's last."""
    return [
        one.public_bytes(serialization.Encoding.PEM).decode()
        for one in x509.load_pem_x509_certificates(pem)
    ]
