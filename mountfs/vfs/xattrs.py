"""Extended attributes of one file as programs ask for them: xattr(7), with its errors.

Only `user.` attributes can be set: they travel with the file. Of others there are none.
"""

from typing import Final

from backend_server.protocol.extended_attributes import (
    USER_PREFIX,
    XATTR_NAME_BYTES_MAX,
    XATTRS_BYTES_MAX,
    ExtendedAttributesMalformed,
    pack_xattrs,
    unpack_xattrs,
)
from mountfs.errors import AttributesFull, InvalidArgument, NoAttribute, NotSupported

_NAMESPACES: Final = (USER_PREFIX, b"security.", b"system.", b"trusted.")
"""What Linux knows; we keep the first and have nothing in the others."""


def value_of(packed: bytes, name: bytes) -> bytes:
    """Return the value of `name`. Pure. Raises `NoAttribute`, and as `with_value`."""
    _check_name(name)
    # The kernel asks for security.capability before every write.
    value = unpack_xattrs(packed).get(name) if name.startswith(USER_PREFIX) else None
    if value is None:
        raise NoAttribute(f"no attribute {name!r}")
    return value


def with_value(packed: bytes, name: bytes, value: bytes) -> bytes:
    """Return the attributes with `name` set. Pure.

    Raises:
        InvalidArgument: The prefix alone is no name.
        NotSupported: Not a `user.` attribute.
        AttributesFull: Too much together.
    """
    _check_name(name)
    if not name.startswith(USER_PREFIX):
        raise NotSupported("only user.* attributes are kept")
    if len(name) > XATTR_NAME_BYTES_MAX:
        raise AttributesFull("the name is too long")
    try:
        return pack_xattrs({**unpack_xattrs(packed), name: value})
    except ExtendedAttributesMalformed:
        raise AttributesFull(f"a file has at most {XATTRS_BYTES_MAX} bytes of attributes") from None


def without_value(packed: bytes, name: bytes) -> bytes:
    """Return the attributes without `name`. Pure. Raises `NoAttribute`, and as `with_value`."""
    _check_name(name)
    attributes = unpack_xattrs(packed)
    if name not in attributes:
        raise NoAttribute(f"no attribute {name!r}")
    del attributes[name]
    return pack_xattrs(attributes)


def _check_name(name: bytes) -> None:
    if name == USER_PREFIX:
        raise InvalidArgument("an attribute needs a name behind its prefix")
    if not name.startswith(_NAMESPACES):
        raise NotSupported("the name of an attribute begins with its namespace")
