"""Whether an answer can be one: what a client believes of no server, checked before it acts.

The types of an answer are checked by its decoding. Here are the bounds: numbers that a database
can hold, names that may stand in a folder, answers that fit their question. What a tree of many
answers must be is not decided here (`mountfs.core.tree_laws`).

Each function returns if the answer can be one. Pure.

Raises (each):
    MessageMalformed: It cannot.
"""

from collections.abc import Sequence
from typing import Final

from backend_server.protocol.account_messages import (
    AccountAnswer,
    DeviceInfo,
    DriveInfo,
    SessionAnswer,
)
from backend_server.protocol.chunking import Chunker
from backend_server.protocol.commit_messages import CommitAnswer, CommitRequest, Outcome
from backend_server.protocol.encoding import MessageMalformed
from backend_server.protocol.extended_attributes import (
    ExtendedAttributesMalformed,
    unpack_xattrs,
)
from backend_server.protocol.identity import (
    CHUNK_KEY_BYTES,
    DEVICE_ID_MAX,
    DIGEST_BYTES,
    NODE_ID_MAX,
    is_valid_drive_id,
    is_valid_name,
)
from backend_server.protocol.limits import (
    CHUNK_SIZE_BYTES_MAX,
    EMBEDDED_ENTRIES_MAX,
    FILE_SIZE_BYTES_MAX,
    LOST_BLOCKS_PAGE_MAX,
    SYMLINK_TARGET_BYTES_MAX,
)
from backend_server.protocol.manifests import ENTRY_BYTES
from backend_server.protocol.transfer_messages import (
    BlockHeader,
    LostBlocksPage,
    UploadAnswer,
    UploadRequest,
)
from backend_server.protocol.tree_messages import (
    ChangesPage,
    DentryState,
    NodeKind,
    NodeState,
    QuotaState,
)

_INT64_MAX: Final = (1 << 63) - 1
_NUMBER_MAX: Final = (1 << 62) - 1
_OWNER_MAX: Final = (1 << 32) - 1
_MODE_MAX: Final = 0o7777
_CURSOR_LENGTH_MAX: Final = 4096
_TOKEN_LENGTH_MAX: Final = 1024
_NAME_LENGTH_MAX: Final = 255
_CHUNK_SIZE_BYTES_MIN: Final = 64


def check_session(answer: SessionAnswer) -> None:
    """A token goes into a header of every later request."""
    token = answer.token
    if not (0 < len(token) <= _TOKEN_LENGTH_MAX and token.isascii() and token.isprintable()):
        raise MessageMalformed("a token that no header can hold")
    if " " in token or not _are_account_ids(answer.account_id, answer.device_id):
        raise MessageMalformed("not a session")


def check_account(answer: AccountAnswer) -> None:
    """A drive's id names a folder of this device, its key and chunker are used at once."""
    if not _are_account_ids(answer.account_id, answer.device_id):
        raise MessageMalformed("not an account")
    for drive in answer.drives:
        _check_drive(drive)


def check_devices(answer: Sequence[DeviceInfo]) -> None:
    """Names of devices are shown to a person."""
    for device in answer:
        if not (_is_shown(device.name) and 0 < device.device_id <= DEVICE_ID_MAX):
            raise MessageMalformed("not a device")


def check_page(page: ChangesPage) -> None:
    """Every row of a page is one by itself."""
    if not 0 < len(page.cursor) <= _CURSOR_LENGTH_MAX:
        raise MessageMalformed("not a cursor")
    if not (0 <= page.consistent_at <= _INT64_MAX and 0 <= page.applied_through <= _NUMBER_MAX):
        raise MessageMalformed("a sequence out of bounds")
    if page.lost is not None and not 0 <= page.lost.kept_through <= page.lost.resumed_at:
        raise MessageMalformed("a past that was lost before it began")
    _check_quota(page.quota)
    for node in page.nodes:
        if node.sequence > page.consistent_at:
            raise MessageMalformed("a node from behind the head")
        _check_node(node)
    for dentry in page.dentries:
        if dentry.sequence > page.consistent_at:
            raise MessageMalformed("a dentry from behind the head")
        _check_dentry(dentry)


def check_block_header(header: BlockHeader) -> None:
    """Ids become keys of this device's cache."""
    if len(header.chunk_id) != DIGEST_BYTES or len(header.base) not in (0, DIGEST_BYTES):
        raise MessageMalformed("not a chunk id")


def check_lost_blocks(page: LostBlocksPage) -> None:
    """What a page names is announced at once."""
    if len(page.blocks) > LOST_BLOCKS_PAGE_MAX or len(page.after) > _CURSOR_LENGTH_MAX:
        raise MessageMalformed("a page of lost blocks too long")
    for block in page.blocks:
        if not (
            0 < block.node_id <= NODE_ID_MAX
            and 0 <= block.revision <= _INT64_MAX
            and len(block.chunk_id) == DIGEST_BYTES
            and 0 < block.length <= CHUNK_SIZE_BYTES_MAX
        ):
            raise MessageMalformed("not a lost block")


def check_announced(request: UploadRequest, answer: UploadAnswer) -> None:
    """What is missing was asked about."""
    count = len(request.chunks)
    if not all(0 <= index < count for index in answer.missing):
        raise MessageMalformed("a chunk is missing that was not announced")


def check_committed(request: CommitRequest, answer: CommitAnswer) -> None:
    """One answer an operation, in order; what was made has its place in the journal."""
    if len(answer.answers) != len(request.operations):
        raise MessageMalformed("not one answer for each operation")
    for operation, said in zip(request.operations, answer.answers, strict=True):
        if said.number != operation.number:
            raise MessageMalformed("an answer to an operation that was not sent")
        sequence_min = 1 if said.outcome is Outcome.APPLIED else 0
        if not sequence_min <= said.sequence <= _INT64_MAX:
            raise MessageMalformed("an operation that was made nowhere")
        if any(len(chunk_id) != DIGEST_BYTES for chunk_id in said.missing):
            raise MessageMalformed("not a chunk id")
    _check_quota(answer.quota)


def _check_node(node: NodeState) -> None:
    if not (0 < node.node_id <= NODE_ID_MAX and node.sequence >= 0):
        raise MessageMalformed("not a node id")
    kind = node.kind
    if kind is NodeKind.REMOVED:
        return
    if not (
        0 <= node.mode <= _MODE_MAX
        and 0 <= node.uid <= _OWNER_MAX
        and 0 <= node.gid <= _OWNER_MAX
        and -_INT64_MAX <= node.mtime_ns <= _INT64_MAX
        and -_INT64_MAX <= node.ctime_ns <= _INT64_MAX
        and 0 <= node.attributes_version <= _INT64_MAX
        and 0 <= node.size_bytes <= FILE_SIZE_BYTES_MAX
        and 0 <= node.revision <= _INT64_MAX
        and 0 <= node.rdev <= _INT64_MAX
        and 0 <= node.conflict_of <= NODE_ID_MAX
        and -_INT64_MAX <= node.conflict_at_ns <= _INT64_MAX
    ):
        raise MessageMalformed("a node's number out of bounds")
    if node.conflict_device and not _is_shown(node.conflict_device):
        raise MessageMalformed("the name of no device")
    try:
        unpack_xattrs(node.xattrs)
    except ExtendedAttributesMalformed as error:
        raise MessageMalformed(f"not extended attributes: {error}") from error
    entries_bytes = len(node.entries)
    if (
        len(node.manifest_id) not in (0, DIGEST_BYTES)
        or entries_bytes > EMBEDDED_ENTRIES_MAX * ENTRY_BYTES
        or entries_bytes % ENTRY_BYTES
        or (node.size_bytes > 0) != bool(node.manifest_id)
    ):
        raise MessageMalformed("a node's content is none")
    if kind is NodeKind.SYMLINK:
        if not 0 < len(node.target) <= SYMLINK_TARGET_BYTES_MAX or b"\0" in node.target:
            raise MessageMalformed("a symlink that leads nowhere")
    elif node.target or (node.manifest_id and kind is not NodeKind.FILE):
        raise MessageMalformed("a node with what only another kind has")


def _check_dentry(dentry: DentryState) -> None:
    if not (
        0 < dentry.parent <= NODE_ID_MAX
        and 0 <= dentry.node_id <= NODE_ID_MAX
        and dentry.sequence >= 0
        and is_valid_name(dentry.name)
    ):
        raise MessageMalformed("a dentry that no folder may hold")


def _check_quota(quota: QuotaState) -> None:
    if not all(
        0 <= count <= _INT64_MAX
        for count in (quota.limit_bytes, quota.used_bytes, quota.reserved_bytes)
    ):
        raise MessageMalformed("not a quota")


def _check_drive(drive: DriveInfo) -> None:
    chunker = drive.chunker
    if not is_valid_drive_id(drive.drive_id):
        raise MessageMalformed("not the id of a drive")
    if len(drive.chunk_key) != CHUNK_KEY_BYTES or not 0 < drive.root_node <= NODE_ID_MAX:
        raise MessageMalformed("a drive that cannot be used")
    if not _is_shown(drive.name) or len(drive.epoch) > _NAME_LENGTH_MAX:
        raise MessageMalformed("a drive that cannot be shown")
    sizes = (chunker.size_bytes_min, chunker.size_bytes_avg, chunker.size_bytes_max)
    if not (
        _CHUNK_SIZE_BYTES_MIN <= sizes[0] < sizes[1] < sizes[2] <= CHUNK_SIZE_BYTES_MAX
        and 0 <= chunker.seed <= _INT64_MAX
    ):
        raise MessageMalformed("a chunker whose chunks no drive may hold")
    try:
        Chunker(chunker)
    except (ValueError, OverflowError) as error:
        raise MessageMalformed(str(error)) from error


def _are_account_ids(account_id: int, device_id: int) -> bool:
    return 0 < account_id <= _INT64_MAX and 0 < device_id <= DEVICE_ID_MAX


def _is_shown(name: str) -> bool:
    return 0 < len(name) <= _NAME_LENGTH_MAX and name.isprintable()
