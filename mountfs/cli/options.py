"""Options that several commands share, said once."""

from pathlib import Path
from typing import Annotated

import typer

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="State folder of this device [default: $MOUNTFS_STATE or the XDG state folder].",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
MountPointArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder where the drive is mounted.")
]
