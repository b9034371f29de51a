"""Extended attributes of a node as one value: what xattr(7) calls `user.` attributes.

Packed as a msgpack map, name to value, ordered by name, so that equal attributes are equal bytes;
no attributes are no bytes. Bounded as on ext4, whose attributes share one block: they travel with
every state of their node.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

XATTRS_BYTES_MAX: Final = 4096
XATTR_NAME_BYTES_MAX: Final = 255
USER_PREFIX: Final = b"user."
"""The one namespace that travels: the others speak of one machine's users and rules."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[bytes, bytes])


class ExtendedAttributesMalformed(ValueError):
    """Bytes that are no packed attributes, or too many."""


def pack_xattrs(attributes: Mapping[bytes, bytes]) -> bytes:
    """Return `attributes` as bytes. Pure.

    Raises:
        ExtendedAttributesMalformed: More than XATTRS_BYTES_MAX together.
    """
    if not attributes:
        return b""
    packed = _encoder.encode(dict(sorted(attributes.items())))
    if len(packed) > XATTRS_BYTES_MAX:
        raise ExtendedAttributesMalformed(f"more than {XATTRS_BYTES_MAX} bytes of attributes")
    return packed


def unpack_xattrs(packed: bytes) -> dict[bytes, bytes]:
    """Return the attributes in `packed`. Pure.

    Raises:
        ExtendedAttributesMalformed: Not what `pack_xattrs` makes.
    """
    if not packed:
        return {}
    if len(packed) > XATTRS_BYTES_MAX:
        raise ExtendedAttributesMalformed("too long")
    try:
        attributes = _decoder.decode(packed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExtendedAttributesMalformed(str(error)) from error
    if not all(_is_name(name) for name in attributes) or pack_xattrs(attributes) != packed:
        raise ExtendedAttributesMalformed("not in canonical form")
    return attributes


def _is_name(name: bytes) -> bool:
    is_bounded = len(USER_PREFIX) < len(name) <= XATTR_NAME_BYTES_MAX
    return is_bounded and name.startswith(USER_PREFIX) and b"\0" not in name
