"""CPython's own tests of everything that touches files, by the interpreter that runs this."""

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Final

from strangers.program import last_words, run_program
from strangers.verdict import Case, Outcome

QUICK: Final = (
    "test_os",
    "test_posix",
    "test_shutil",
    "test_tempfile",
    "test_pathlib",
    "test_mmap",
)
MODULES: Final = (
    *QUICK,
    *("test_glob", "test_io", "test_file", "test_fileio", "test_largefile", "test_bufio"),
    *("test_mailbox", "test_dbm", "test_dbm_dumb", "test_dbm_gnu", "test_dbm_ndbm", "test_shelve"),
    *("test_sqlite3", "test_zipfile", "test_tarfile", "test_fcntl", "test_stat", "test_gzip"),
    *("test_posixpath", "test_genericpath", "test_filecmp", "test_fileinput", "test_fnmatch"),
    *("test_bz2", "test_lzma", "test_compileall", "test_py_compile", "test_import"),
    *("test_importlib", "test_zipimport", "test_zipapp", "test_runpy", "test_pkg", "test_pkgutil"),
    *("test_modulefinder", "test_linecache", "test_unicode_file", "test_unicode_file_functions"),
    *("test_univnewlines", "test_threadedtempfile", "test_logging", "test_subprocess"),
    *("test_cmd_line_script", "test_selectors", "test_venv", "test_mimetypes", "test_netrc"),
)
MODULE_TIMEOUT_S: Final = 300.0


class CPythonTests:
    name = "cpython"
    about = f"CPython {sys.version.split()[0]}: {len(MODULES)} of its own test modules"

    def missing(self) -> str:
        if importlib.util.find_spec("test.test_os") is None:
            return (
                "apt-get install libpython3-testsuite, or a Python that brings its `test` package"
            )
        return ""

    def run(self, folder: Path, *, quick: bool) -> dict[str, Case]:
        cases: dict[str, Case] = {}
        for module in QUICK if quick else MODULES:
            cases |= _run_module(module, folder)
        return cases


def _run_module(module: str, folder: Path) -> dict[str, Case]:
    here = folder / module
    here.mkdir()
    report = here.with_suffix(".xml")
    done = run_program(
        [
            *(sys.executable, "-m", "test", "--tempdir", here, "-ulargefile"),
            *("--junit-xml", report, module),
        ],
        cwd=here,
        timeout_s=MODULE_TIMEOUT_S,
    )
    if not report.exists():
        return {module: Case(Outcome.FAILED, last_words(done.out))}
    found: dict[str, Case] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        # Subtests come as cases of one name: the worst is the case.
        name, outcome = case.get("name", ""), _outcome(case)
        if name not in found or outcome.outcome is Outcome.FAILED:
            found[name] = outcome
    return found


def _outcome(case: ElementTree.Element) -> Case:
    for tag in ("failure", "error"):
        wrong = case.find(tag)
        if wrong is not None:
            return Case(Outcome.FAILED, last_words("".join(wrong.itertext())))
    skipped = case.find("skipped")
    if skipped is not None:
        return Case(Outcome.SKIPPED, skipped.text or "")
    return Case(Outcome.PASSED)
