"""`python tests/strangers`: see the package's docstring."""

import sys
from pathlib import Path

# Run as a folder, Python looks for modules in this folder only; `harness` is beside it.
sys.path[0] = str(Path(__file__).absolute().parent.parent)

from strangers.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
