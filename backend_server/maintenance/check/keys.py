"""The keys of each drive, as far as they can be had: without them blocks are checked by digest."""

from functools import partial

from backend_server.domain.findings import Finding, FindingKind
from backend_server.maintenance.check.surroundings import Surroundings
from backend_server.metadata.key_rows import load_wrapped_keys
from backend_server.protocol.identity import DriveId
from backend_server.services.drive_keys import DriveKeys, unwrap_drive_keys
from backend_server.services.key_wrap import KeyFault, MasterKeyMismatch


async def load_keys(around: Surroundings, drive_id: DriveId) -> DriveKeys | None:
    """Return the drive's keys, or None. That the master key does not open them is a finding."""
    if around.master is None:
        return None
    wrapped = await around.database.read(partial(load_wrapped_keys, drive_id=drive_id))
    fault = "there are none"
    if wrapped is not None and wrapped.data_keys:
        try:
            return unwrap_drive_keys(drive_id, wrapped, around.master)
        except MasterKeyMismatch as error:
            sentence = f"This is not the master key of the drive: {error}."
            around.report.add(
                Finding(FindingKind.MASTER_KEY_UNUSABLE, drive_id, drive_id, sentence, False)
            )
            return None
        except KeyFault as error:
            fault = str(error)
    sentence = f"The keys of the drive do not open: {fault}."
    around.report.add(Finding(FindingKind.DRIVE_KEYS_UNUSABLE, drive_id, drive_id, sentence, False))
    return None
