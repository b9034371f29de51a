"""The process of a mount is set up once, before its threads."""

import subprocess
import sys


def test_a_tuned_process_switches_soon_and_never_looks_at_its_imports_again() -> None:
    code = (
        "import gc, sys\n"
        "from mountfs.app.process_tuning import SWITCH_INTERVAL_S, tune_process\n"
        "tune_process()\n"
        "assert abs(sys.getswitchinterval() - SWITCH_INTERVAL_S) < 1e-6\n"
        "assert gc.get_freeze_count() > 1000\n"
        "assert sum(len(bytes(1 << 20)) for _ in range(100)) == 100 << 20\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
