"""Whom we believe to be the server."""

import ssl
from pathlib import Path

from mountfs.errors import SetupError


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return what verifies the server: against `ca_file`, else the system's authorities.

    Raises:
        SetupError: `ca_file` cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(
            f"cannot use the certificates in {ca_file}: {error}",
            remedy="give a readable file of PEM certificates with --ca-file",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
