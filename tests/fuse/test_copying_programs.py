"""cp, rsync and tar on the mount do what they do on a plain folder, to the nanosecond."""

import random
from pathlib import Path

import pytest

from harness.programs import output_of
from harness.sources import make_source_tree
from harness.trees import assert_same_tree, read_tree, same_as_on_plain_folder

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources") / "tree"
    make_source_tree(root)
    return root


def test_cp_archive(folder: Path, sources: Path, tmp_path: Path) -> None:
    def copy(target: Path) -> str:
        return output_of("cp", "-a", sources, target / "copy", cwd=target)

    same_as_on_plain_folder(copy, plain=tmp_path / "plain", mounted=folder / "cp", with_times=True)
    assert_same_tree(read_tree(sources), read_tree(folder / "cp" / "copy"))


def test_rsync_in_place_and_again_after_changes(
    folder: Path, sources: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    output_of("cp", "-a", sources, source, cwd=tmp_path)
    targets = (tmp_path / "plain", folder / "rsync")

    for target in targets:
        target.mkdir()

    def synchronize() -> list[str]:
        words = ("rsync", "-aH", "--inplace", "--delete", "--itemize-changes", f"{source}/")
        return [output_of(*words, f"{target}/", cwd=tmp_path) for target in targets]

    plain, mounted = synchronize()
    assert plain == mounted
    assert_same_tree(read_tree(source), read_tree(targets[1]))

    blob = bytearray((source / "blob.bin").read_bytes())
    blob[1_000_000:1_000_100] = random.Random(1).randbytes(100)
    (source / "blob.bin").write_bytes(blob)
    (source / "module_2.py").unlink()
    (source / "module_3.py").rename(source / "moved.py")
    (source / "module_4.py").chmod(0o700)
    plain, mounted = synchronize()
    assert plain == mounted
    assert_same_tree(read_tree(source), read_tree(targets[1]))
    assert synchronize() == ["", ""], "nothing changed, yet rsync found something to do"


def test_rsync_finds_no_difference_by_checksum(folder: Path, sources: Path, tmp_path: Path) -> None:
    target = folder / "checked"
    output_of("rsync", "-aH", f"{sources}/", f"{target}/", cwd=tmp_path)
    dry = ("rsync", "-aHn", "--checksum", "--delete", "--itemize-changes")
    assert output_of(*dry, f"{sources}/", f"{target}/", cwd=tmp_path) == ""


def test_tar_unpacks_and_packs_the_same(folder: Path, sources: Path, tmp_path: Path) -> None:
    archive = tmp_path / "sources.tar"
    pack = ("tar", "--sort=name", "--numeric-owner", "--format=posix", "--pax-option=delete=?time")
    output_of(*pack, "-cf", archive, "-C", sources, ".", cwd=tmp_path)

    def unpack(target: Path) -> bytes:
        (target / "tree").mkdir()
        output_of("tar", "-xpf", archive, "-C", target / "tree", cwd=target)
        again = target.parent / f"{target.name}.again.tar"
        output_of(*pack, "-cf", again, "-C", target / "tree", ".", cwd=target)
        packed = again.read_bytes()
        again.unlink()
        return packed

    same_as_on_plain_folder(
        unpack, plain=tmp_path / "plain", mounted=folder / "tar", with_times=True
    )


def test_a_copied_tree_moves_and_goes_away(folder: Path, sources: Path, tmp_path: Path) -> None:
    def work(target: Path) -> list[str]:
        output_of("cp", "-a", sources, target / "one", cwd=target)
        output_of("mv", target / "one", target / "two", cwd=target)
        output_of("rm", "-r", target / "two" / "part0", cwd=target)
        found = output_of("find", ".", "-newermt", "2000-01-01", "-printf", "%p %y\n", cwd=target)
        return sorted(found.splitlines())

    same_as_on_plain_folder(work, plain=tmp_path / "plain", mounted=folder / "moved")
