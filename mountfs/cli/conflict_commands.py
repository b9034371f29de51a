"""`mountfs conflicts` and `mountfs resolve`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mountfs.cli.failing import command
from mountfs.cli.options import JsonOption

if TYPE_CHECKING:
    from mountfs.app.registry import RunningMount
    from mountfs.app.status import Conflict


@command
def conflicts(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="One mount [default: all of yours].")
    ] = None,
    json: JsonOption = False,
) -> int | None:
    """List files that two devices changed at once, and where each version is.

    Also of other devices, and without the network. Exit code 1 when there are any. `--json` prints
    a list. Settle one with `mountfs resolve`.

    Example: mountfs conflicts ~/Drive
    """
    from mountfs.app.control_client import NotServed, ask_conflicts, find_running
    from mountfs.app.registry import Registry
    from mountfs.fuse.mounting import resolve_mount_point

    is_one = folder is not None
    mounts = [find_running(resolve_mount_point(folder))] if folder else Registry().all()
    found: list[tuple[RunningMount, Conflict]] = []
    for mount in mounts:
        try:
            copies = ask_conflicts(mount)
        except NotServed:
            if is_one:
                raise
            continue
        found += [(mount, conflict) for conflict in copies]
    if json:
        import msgspec

        rows = [
            {"mount_point": mount.mount_point, **msgspec.to_builtins(conflict)}
            for mount, conflict in found
        ]
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        for mount, conflict in found:
            _show(mount, conflict)
        if not found:
            typer.echo("no conflicts")
    return 1 if found else 0


@command
def resolve(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The conflict copy, in a mounted drive.")
    ],
    keep_copy: Annotated[
        bool, typer.Option("--keep-copy", help="The copy becomes the file's next revision.")
    ] = False,
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="The file stays as it is; the copy is removed.")
    ] = False,
    keep_both: Annotated[
        bool, typer.Option("--keep-both", help="Both stay, under the names that they have.")
    ] = False,
    json: JsonOption = False,
) -> int | None:
    """Settle a conflict that `mountfs conflicts` lists, on all devices.

    What is not kept stays in the file's history. Say what to keep with one of the three options.

    Example: mountfs resolve --keep-copy '~/Drive/a (conflict of laptop, 2026-11-20).txt'
    """
    from mountfs.app.control_client import ask_resolve

    choices = {"copy": keep_copy, "original": keep_original, "both": keep_both}
    wanted = [keep for keep, is_wanted in choices.items() if is_wanted]
    if len(wanted) != 1:
        raise typer.BadParameter(
            "say one of --keep-copy, --keep-original, --keep-both", param_hint="what to keep"
        )
    mount, within = _find_mount_of(path)
    settled = ask_resolve(mount, within, wanted[0])
    if json:
        import msgspec

        typer.echo(
            msgspec.json.encode({"kept": wanted[0], **msgspec.to_builtins(settled)}).decode()
        )
    else:
        kept = {
            "copy": f"{settled.original} is now what {settled.path} was",
            "original": f"{settled.original} stays, {settled.path} is removed",
            "both": f"{settled.path} stays beside {settled.original or 'nothing'}",
        }
        typer.echo(kept[wanted[0]])
    return None


def _show(mount: "RunningMount", conflict: "Conflict") -> None:
    from datetime import datetime

    from mountfs.cli.sizes import size_text

    at = datetime.fromtimestamp(conflict.at).strftime("%Y-%m-%d %H:%M")
    typer.echo(f"{mount.mount_point}/{conflict.path}")
    original = (
        f"{conflict.original} ({size_text(conflict.original_size_bytes)})"
        if conflict.original
        else "a file that was removed since"
    )
    typer.echo(
        f"    {size_text(conflict.size_bytes)}, written on {conflict.device}, {at}, "
        f"beside {original}"
    )


def _find_mount_of(path: Path) -> "tuple[RunningMount, bytes]":
    """Return the mount that `path` lies in, and the rest of the path.

    Raises:
        NotServed: No mount of ours.
    """
    from mountfs.app.control_client import NotServed
    from mountfs.app.registry import Registry

    # The copy itself may be a symlink: only what is above it is followed.
    place = path.expanduser().absolute()
    place = place.parent.resolve() / place.name
    for mount in Registry().all():
        if place.is_relative_to(mount.mount_point):
            within = os.fsencode(place.relative_to(mount.mount_point))
            return mount, within
    raise NotServed(f"{path} is not in a drive mounted by you", remedy="see `mountfs status`")
