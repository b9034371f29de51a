"""`mountfs mount`: check what can be checked first, then serve, here or in the background."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from mountfs.app.control_messages import Failed, error_of
from mountfs.app.daemon import Verdict, run_in_background
from mountfs.app.device import load_device
from mountfs.app.failures import EXIT_DONE, EXIT_FAILED, exit_code_of, first_leaf, message_of
from mountfs.app.logs import start_logging
from mountfs.app.process_tuning import tune_process
from mountfs.app.state_folder import StateFolder
from mountfs.core.back_pressure import DEFAULT_STAGING_LIMIT_BYTES
from mountfs.errors import MountError, SetupError
from mountfs.fuse.mount_table import find_mount
from mountfs.fuse.mounting import prepare_mount_point, unmount

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MountPlan:
    """What a person asked for. `drive`: a name or id; None is the home drive."""

    state: StateFolder
    mount_point: Path
    drive: str | None = None
    is_read_only: bool = False
    allow_other: bool = False
    cache_size_bytes: int = 10 << 30
    staging_size_bytes: int = DEFAULT_STAGING_LIMIT_BYTES
    is_close_to_open: bool = False
    has_xattrs: bool = False
    is_merging: bool = True
    is_verbose: bool = False


def start_mount(plan: MountPlan, *, in_foreground: bool) -> int:
    """Mount. Returns the exit code: in the foreground at the end, else when programs can use it.

    Raises:
        MountError: Not mounted, and why.
    """
    plan.state.ensure()
    load_device(plan.state)
    plan = _at(plan, prepare_mount_point(plan.mount_point))
    log_file = plan.state.log_file(plan.mount_point)
    if in_foreground:
        return _run(plan, Verdict(None), in_foreground=True)
    run_in_background(
        lambda verdict: _run(plan, verdict, in_foreground=False),
        log_file=log_file,
        decode=lambda answer: error_of(Failed(answer["kind"], answer["message"], answer["remedy"])),
    )
    return EXIT_DONE


def _at(plan: MountPlan, mount_point: Path) -> MountPlan:
    try:
        str(mount_point).encode()
    except UnicodeEncodeError:
        raise SetupError(
            "the name of the mount point is not UTF-8", remedy="choose another folder"
        ) from None
    return replace(plan, mount_point=mount_point)


def _run(plan: MountPlan, verdict: Verdict, *, in_foreground: bool) -> int:
    start_logging(
        plan.state.log_file(plan.mount_point), to_stderr=in_foreground, is_verbose=plan.is_verbose
    )
    # From here on nothing forks: trio, threads, LMDB and SQLite may come.
    import trio

    from mountfs.app.compose import serve_mount

    tune_process()
    try:
        with plan.state.lock():
            trio.run(serve_mount, plan, verdict)
        return EXIT_DONE
    except KeyboardInterrupt:
        return EXIT_DONE
    except BaseException as error:  # noqa: BLE001 - the last door of this process
        cause = first_leaf(error)
        if isinstance(cause, MountError):
            _LOG.info("not mounted: %s", cause)
            verdict.refused(cause)
            if in_foreground:
                raise cause from None
            return exit_code_of(cause)
        _LOG.critical("the mount failed", exc_info=error)
        verdict.refused(SetupError(f"unexpected: {message_of(MountError(repr(cause)))}"))
        return EXIT_FAILED
    finally:
        _leave_no_mount(plan.mount_point)


def _leave_no_mount(mount_point: Path) -> None:
    """Take away a mount that nobody serves any more: programs would only get ENOTCONN."""
    if find_mount(mount_point) is None:
        return
    try:
        unmount(mount_point, lazily=True)
    except SetupError as error:
        _LOG.info("%s stays mounted: %s", mount_point, error)
