"""The programs of one worker on one mount. What it wrote alone must always read back."""

import errno
import mmap
import os
import random
import shutil
import sqlite3
import stat
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from harness.programs import output_of
from soak.day import BULK_BYTES, Task

SHARED: Final = "shared"
NAMES: Final = 120
"""Names of a worker's small files: the tree does not grow over the day."""
SMALL_BYTES: Final = (0, 200, 3_000, 3_000, 20_000, 60_000)
LARGE_BYTES: Final = 1 << 20
LOG_BYTES_MAX: Final = 256 << 10
COPIES_MAX: Final = 8
"""Of more conflict copies than these, a person has removed the rest."""
COMMITS_MAX: Final = 25
HISTORY_LENGTH: Final = 10_000
_PIECE_BYTES: Final = 1 << 20
_OF_ANOTHER: Final = (errno.ENOENT, errno.ESTALE)
"""What may befall a program in the folder that the other device works in too."""


class Worker:
    """Works in a folder of its own, and in SHARED. `faults` has what went wrong."""

    def __init__(self, root: Path, name: str, seed: int) -> None:
        self.faults: list[str] = []
        self.done: Counter[Task] = Counter()
        self.written_bytes = 0
        self._root, self._own, self._shared = root, root / name, root / SHARED
        self._chance = random.Random(seed)
        self._name = name
        self._model: dict[str, bytes] = {}
        self._count = 0
        self._history: deque[str] = deque(maxlen=HISTORY_LENGTH)
        self._commits_count = 0
        self._doing = ""

    def prepare(self) -> None:
        """Make the folders and files that the work begins with."""
        for folder in (self._own, *(self._own / f"folder {number}" for number in range(6))):
            folder.mkdir()
        for number in range(4):
            self._put(f"large {number}", LARGE_BYTES)
        with closing(self._database()) as base:
            base.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text BLOB)")

    def work(self, tasks: Sequence[Task]) -> None:
        """Do `tasks`, one after the other."""
        does: dict[Task, Callable[[], None]] = {
            Task.SAVE: self._save, Task.OVERWRITE: self._overwrite, Task.CREATE: self._create,
            Task.REMOVE: self._remove, Task.RENAME: self._rename, Task.APPEND: self._append,
            Task.PATCH: self._patch, Task.TRUNCATE: self._truncate, Task.READ: self._read,
            Task.LIST: self._list, Task.STAT_ALL: self._stat_all,
            Task.SET_ATTRIBUTES: self._set_attributes, Task.LINK: self._link,
            Task.SYMLINK: self._symlink, Task.FOLDER: self._folder,
            Task.UNLINK_OPEN: self._unlink_open, Task.MAP: self._map, Task.BULK: self._bulk,
            Task.SHARED_LINE: self._shared_line, Task.SHARED_TEXT: self._shared_text,
            Task.TRANSACTION: self._transaction, Task.GIT_COMMIT: self._git_commit,
        }  # fmt: skip
        for task in tasks:
            self._doing = task.value
            try:
                does[task]()
            except Exception as error:
                is_shared = task in (Task.SHARED_LINE, Task.SHARED_TEXT)
                if not (is_shared and isinstance(error, OSError) and error.errno in _OF_ANOTHER):
                    self.faults.append(f"{self._name}: {task.value}: {error!r}")
            self.done[task] += 1

    # Small files -----------------------------------------------------------------------------

    def _some_name(self) -> str:
        return self._noted(
            f"folder {self._chance.randrange(6)}/small {self._chance.randrange(NAMES // 6)}"
        )

    def _noted(self, name: str) -> str:
        """Remember which task has to do with which name, for whoever asks what led to a fault."""
        self._history.append(f"{time.time():.3f} {self._doing} {name} [{self._count}]")
        return name

    def _story_of(self, name: str) -> str:
        return "; ".join(line for line in self._history if f" {name} [" in line)

    def _some_file(self) -> str:
        names = [name for name in self._model if name.startswith("folder")]
        if not names:
            self._create()
            return self._some_file()
        return self._noted(self._chance.choice(names))

    def _content(self, size: int | None = None) -> bytes:
        self._count += 1
        size = self._chance.choice(SMALL_BYTES) if size is None else size
        # Half of it compresses, as what people write does.
        content = (b"%s %d " % (self._name.encode(), self._count)) * (size // 40)
        content += self._chance.randbytes(max(0, size - len(content)))
        self.written_bytes += len(content)
        return content

    def _put(self, name: str, size: int | None = None) -> None:
        content = self._content(size)
        (self._own / name).write_bytes(content)
        self._model[name] = content

    def _create(self) -> None:
        self._put(self._some_name())

    def _overwrite(self) -> None:
        self._put(self._some_file())

    def _save(self) -> None:
        name = self._some_name()
        content = self._content()
        beside = self._own / (name + ".tmp")
        with beside.open("wb") as file:
            file.write(content)
            if self._chance.random() < 0.2:
                file.flush()
                os.fsync(file.fileno())
        beside.rename(self._own / name)
        self._model[name] = content

    def _remove(self) -> None:
        name = self._some_file()
        (self._own / name).unlink()
        del self._model[name]

    def _rename(self) -> None:
        name, to = self._some_file(), self._some_name()
        (self._own / name).rename(self._own / to)
        self._model[to] = self._model.pop(name)

    def _read(self) -> None:
        if self._chance.random() < 0.1:
            name = f"large {self._chance.randrange(4)}"
        else:
            name = self._some_file()
        self._check(name)

    def _check(self, name: str) -> None:
        found = (self._own / name).read_bytes()
        self._compare(name, found, self._model[name])

    def _compare(self, name: str, found: bytes, expected: bytes) -> None:
        assert found == expected, (
            f"{name} has {len(found)} bytes, {found[:24]!r}, instead of {len(expected)}, "
            f"{expected[:24]!r}, behind {self._story_of(name)}"
        )

    def _set_attributes(self) -> None:
        path = self._own / self._some_file()
        if self._chance.random() < 0.5:
            path.chmod(self._chance.choice((0o600, 0o644, 0o640)))
        else:
            os.utime(path, ns=(self._chance.randrange(10**18), self._chance.randrange(10**18)))

    def _link(self) -> None:
        name = self._some_file()
        link = self._own / "link"
        link.hardlink_to(self._own / name)
        assert link.read_bytes() == self._model[name]
        link.unlink()

    def _symlink(self) -> None:
        link = self._own / "symlink"
        link.symlink_to(self._some_file())
        assert stat.S_ISLNK(link.lstat().st_mode)
        link.unlink()

    def _folder(self) -> None:
        folder = self._own / "folder of a moment"
        folder.mkdir()
        for number in range(3):
            (folder / f"file {number}").write_bytes(self._content(500))
        moved = folder.rename(self._own / "folder 0" / "moved")
        assert len(list(moved.iterdir())) == 3
        shutil.rmtree(moved)

    def _unlink_open(self) -> None:
        path = self._own / "without a name"
        with path.open("w+b") as file:
            path.unlink()
            content = self._content(30_000)
            file.write(content)
            file.seek(0)
            assert file.read() == content

    # Looking ---------------------------------------------------------------------------------

    def _list(self) -> None:
        folder = f"folder {self._chance.randrange(6)}"
        found = sorted(path.name for path in (self._own / folder).iterdir())
        expected = sorted(
            name.rpartition("/")[2] for name in self._model if name.startswith(folder + "/")
        )
        assert found == expected, f"{folder} lists {found} instead of {expected}"

    def _stat_all(self) -> None:
        for name, content in self._model.items():
            if (self._own / name).stat().st_size != len(content):
                self._compare(name, (self._own / name).read_bytes(), content)

    # Larger files ----------------------------------------------------------------------------

    def _patch(self) -> None:
        name = f"large {self._chance.randrange(4)}"
        content = bytearray(self._model[name])
        piece = self._content(self._chance.choice((10, 5_000, 60_000)))
        at = self._chance.randrange(LARGE_BYTES - len(piece))
        with (self._own / name).open("r+b", buffering=0) as file:
            file.seek(at)
            file.write(piece)
            if self._chance.random() < 0.2:
                os.fsync(file.fileno())
        content[at : at + len(piece)] = piece
        self._model[name] = bytes(content)

    def _map(self) -> None:
        name = f"large {self._chance.randrange(4)}"
        content = bytearray(self._model[name])
        piece = self._content(10_000)
        at = self._chance.randrange(LARGE_BYTES - len(piece))
        with (self._own / name).open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[at : at + len(piece)] = piece
            mapped.flush()
        content[at : at + len(piece)] = piece
        self._model[name] = bytes(content)

    def _truncate(self) -> None:
        name = self._some_file()
        size = self._chance.choice((0, 100, 50_000))
        os.truncate(self._own / name, size)
        self._model[name] = self._model[name][:size].ljust(size, b"\0")

    def _append(self) -> None:
        name = f"folder {self._chance.randrange(6)}/log"
        line = self._content(self._chance.choice((100, 2_000)))
        old = self._model.get(name, b"")
        is_full = len(old) > LOG_BYTES_MAX
        with (self._own / name).open("wb" if is_full else "ab", buffering=0) as file:
            file.write(line)
        self._model[name] = line if is_full else old + line

    def _bulk(self) -> None:
        with (self._own / f"bulk {self._chance.randrange(2)}").open("wb") as file:
            for _ in range(BULK_BYTES // _PIECE_BYTES):
                file.write(self._chance.randbytes(_PIECE_BYTES))
        self.written_bytes += BULK_BYTES

    # What both devices write -------------------------------------------------------------------

    def _shared_line(self) -> None:
        path = self._shared / f"lines {self._chance.randrange(3)}"
        line = self._content(60) + b"\n"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.write_bytes(line)
        else:
            with path.open("ab", buffering=0) as file:
                file.write(line)

    def _shared_text(self) -> None:
        path = self._shared / "text"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        self._count += 1
        at = self._chance.randint(0, len(lines))
        lines[at : at + (len(lines) > 100)] = [b"%s %d\n" % (self._name.encode(), self._count)]
        path.write_bytes(b"".join(lines))
        copies = sorted(each for each in self._shared.iterdir() if "conflict of" in each.name)
        for copy in copies[:-COPIES_MAX]:
            copy.unlink(missing_ok=True)

    # Other people's programs -------------------------------------------------------------------

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self._own / "base.db", isolation_level=None, timeout=20)

    def _transaction(self) -> None:
        with closing(self._database()) as base:
            base.execute("BEGIN IMMEDIATE")
            base.execute("INSERT INTO rows (text) VALUES (?)", (self._content(1_000),))
            base.execute("DELETE FROM rows WHERE id <= (SELECT max(id) FROM rows) - 200")
            base.execute("COMMIT")

    def _git_commit(self) -> None:
        repository = self._own / "repository"
        if not repository.exists():
            repository.mkdir()
            output_of("git", "init", "-q", cwd=repository)
        for number in range(3):
            (repository / f"source {number}").write_bytes(self._content(4_000))
        output_of("git", "add", "-A", cwd=repository)
        output_of("git", "commit", "-qm", f"change {self._count}", cwd=repository)
        self._commits_count += 1
        if self._commits_count % COMMITS_MAX == 0:
            shutil.rmtree(repository)
