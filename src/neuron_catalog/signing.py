"""Signatures of artifacts, in the format of OpenSSF model signing: by whom, and that nothing was changed.

The signature is a file in the artifact, over all others but the card, which people edit. It is made and
checked by the package `model-signing`: with a key pair, which needs no network, or with an identity through
Sigstore.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from neuron_catalog.digests import leads_out
from neuron_catalog.errors import RequestError, RequirementError, UsageError, VerificationError, first_line
from neuron_catalog.inventory import CARD_NAME, MANIFEST_NAME

SIGNATURE = "model.sig"
"""The name that the tools of model signing use, too."""

PUBLIC_KEY = "NEURON_CATALOG_PUBLIC_KEY"
"""The environment variable that names a key. If it is set, nothing is loaded that was not signed with it."""


@dataclass(frozen=True)
class Signer:
    """By what an artifact must have been signed: a key, or an identity at a provider of identities."""

    public_key: Path | None = None
    identity: str | None = None
    identity_provider: str | None = None

    def __post_init__(self) -> None:
        if (self.identity is None) != (self.identity_provider is None):
            raise UsageError(
                "An identity and its provider belong together.",
                "Give both, such as --identity me@example.com --identity_provider https://accounts.google.com",
            )
        if (self.identity is None) == (self.public_key is None):
            raise UsageError("A signature is checked by a key or by an identity.", "Give one of them.")

    def __str__(self) -> str:
        return f"the key {self.public_key}" if self.public_key else f"{self.identity}"


def sign(artifact: Path, private_key: Path | None = None) -> Path:
    """Sign an artifact, a whole pipeline too, and return the file with the signature.

    Without a key it is signed by who logs in to Sigstore, which opens a browser and needs the network.

    Raises:
        RequestError: if it is no artifact, or the key cannot be used.
        VerificationError: if a folder is in the place of its card.
        RequirementError: if model-signing is not installed.
    """
    if not (artifact / MANIFEST_NAME).is_file():
        raise RequestError(
            f"{artifact} is no exported artifact: it has no {MANIFEST_NAME}.", "Check the path."
        )
    _require_no_folder_for_card(artifact)
    signing, target = _package("signing"), artifact / SIGNATURE
    config = signing.Config().set_hashing_config(_hashing(artifact))
    if private_key is None:
        config.use_sigstore_signer()
    else:
        _require_key(private_key)
        try:
            config.use_elliptic_key_signer(private_key=private_key)
        except (ValueError, TypeError, AttributeError) as error:
            raise RequestError(f"{private_key} is no private key: {first_line(error)}", EC_KEY) from error
    try:
        config.sign(artifact, target)
    except (OSError, ValueError, RuntimeError) as error:
        target.unlink(missing_ok=True)
        raise RequestError(f"{artifact} could not be signed: {first_line(error)}", EC_KEY) from error
    return target


EC_KEY = "Make one with: openssl ecparam -genkey -name prime256v1 -noout -out key.pem"


def require_signed(artifact: Path, signer: Signer) -> None:
    """Make sure that an artifact was signed so, and no file but its card was changed, added or removed since.

    Raises:
        VerificationError: if it is not signed, by another, or was changed.
        RequestError: if the key cannot be used.
        RequirementError: if model-signing is not installed.
    """
    signature = artifact / SIGNATURE
    if not signature.is_file():
        raise VerificationError(f"{artifact} is not signed: it has no {SIGNATURE}.", "Do not use it.")
    _require_no_folder_for_card(artifact)
    config = _package("verifying").Config().set_hashing_config(_hashing(artifact))
    try:
        if signer.public_key:
            _require_key(signer.public_key)
            config.use_elliptic_key_verifier(public_key=signer.public_key)
        else:
            config.use_sigstore_verifier(identity=signer.identity, oidc_issuer=signer.identity_provider)
    except (ValueError, TypeError, AttributeError) as error:
        raise RequestError(f"{signer.public_key} is no public key: {first_line(error)}", EC_KEY) from error
    try:
        config.verify(artifact, signature)
    except Exception as error:  # whatever a damaged or a foreign signature makes its readers raise
        raise VerificationError(
            f"{artifact} was not signed by {signer}, or was changed since: {first_line(error)}",
            "Do not use it.",
        ) from error


def require_trusted(artifact: Path) -> None:
    """Hold an artifact to the key of this machine, if it has one.

    Raises:
        VerificationError, RequestError, RequirementError: as `require_signed` does.
    """
    if key := os.environ.get(PUBLIC_KEY):
        require_signed(artifact, Signer(Path(key)))


def signature_in(artifact: Path) -> tuple[str, ...]:
    """Return the name of the signature, if there is one: it belongs to what is copied of an artifact."""
    return (SIGNATURE,) if (artifact / SIGNATURE).is_file() else ()


def _require_no_folder_for_card(artifact: Path) -> None:
    """What is ignored is ignored with everything below it."""
    if (artifact / CARD_NAME).is_dir():
        raise VerificationError(
            f"{artifact} has a folder {CARD_NAME}, whose files no signature would cover.", "Do not use it."
        )


def _hashing(artifact: Path) -> Any:
    config = _package("hashing").Config()
    config.set_ignored_paths(paths=[SIGNATURE, CARD_NAME], ignore_git_paths=False)
    return config.set_allow_symlinks(not any(leads_out(path, artifact) for path in artifact.rglob("*")))


def _require_key(path: Path) -> None:
    if not path.is_file():
        raise RequestError(f"There is no key {path}.", "Check the path.")


def _package(module: str) -> Any:
    if find_spec("model_signing") is None:
        raise RequirementError(
            "Signatures need model-signing, which is not installed.",
            'Install it with: pip install "neuron-catalog[signing]"',
        )
    import importlib

    return importlib.import_module(f"model_signing.{module}")
