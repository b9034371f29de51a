"""E-mail addresses as names of accounts."""

from typing import Final

EMAIL_LENGTH_MAX: Final = 254


def normalize_email(email: str) -> str | None:
    """Return the address as accounts are named by it, or None if it cannot be one. Pure.

    Casefolded: two spellings of one address are one person. Only the shape is checked; whether
    mail arrives there is nobody's business here.
    """
    address = email.strip().casefold()
    local, at, domain = address.rpartition("@")
    if not (local and at and domain) or len(address) > EMAIL_LENGTH_MAX:
        return None
    if any(character.isspace() or not character.isprintable() for character in address):
        return None
    return address
