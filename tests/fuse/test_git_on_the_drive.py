"""git works on the mount as on a plain folder, and its repository is whole on the other mount."""

from pathlib import Path

import pytest

from harness.mount import check_everything_arrived
from harness.programs import output_of
from harness.shared_drive import SharedDrive
from harness.sources import make_source_tree

pytestmark = pytest.mark.fuse


def _life_of_a_repository(where: Path) -> list[str]:
    """Return what git printed. Ids of commits depend on content, names and modes alone."""
    tree = where / "repository"
    make_source_tree(tree)
    said = [output_of("git", "init", "-q", "-b", "main", cwd=tree)]
    for words in (
        ("add", "-A"),
        ("commit", "-q", "-m", "everything"),
        ("status", "--porcelain"),
        ("rev-parse", "HEAD^{tree}", "HEAD"),
        ("mv", "part0", "moved"),
        ("rm", "-q", "module_5.py"),
        ("status", "--porcelain"),
        ("commit", "-q", "-m", "moved and removed"),
        ("checkout", "-q", "-b", "side", "HEAD~1"),
    ):
        said.append(output_of("git", *words, cwd=tree))
    (tree / "module_6.py").write_text("changed on the side\n")
    for words in (
        ("commit", "-q", "-a", "-m", "on the side"),
        ("checkout", "-q", "main"),
        ("merge", "-q", "-m", "together", "side"),
        ("gc", "-q"),
        ("fsck", "--full", "--strict"),
        ("status", "--porcelain"),
        ("log", "--format=%H %s"),
        ("rev-parse", "HEAD^{tree}"),
    ):
        said.append(output_of("git", *words, cwd=tree))
    output_of("git", "clone", "-q", "--no-hardlinks", tree, where / "clone", cwd=where)
    said.append(output_of("git", "status", "--porcelain", cwd=where / "clone"))
    said.append(output_of("git", "rev-parse", "HEAD", cwd=where / "clone"))
    return said


def test_git_says_the_same_here_and_on_the_other_mount(
    folder: Path, drive: SharedDrive, tmp_path: Path
) -> None:
    plain, mounted = tmp_path / "plain", folder / "git"
    plain.mkdir()
    mounted.mkdir()
    expected = _life_of_a_repository(plain)
    assert _life_of_a_repository(mounted) == expected

    check_everything_arrived(drive.here, drive.there)
    there = drive.there.path / mounted.relative_to(drive.here.path)
    output_of("git", "fsck", "--full", "--strict", cwd=there / "repository")
    # The index knows inodes and times of the first mount; content must be judged the same.
    output_of("git", "update-index", "-q", "--refresh", cwd=there / "repository")
    assert output_of("git", "status", "--porcelain", cwd=there / "repository") == ""
    head = output_of("git", "rev-parse", "HEAD^{tree}", cwd=there / "repository")
    assert head == expected[-3]


def test_a_repository_is_cloned_into_the_drive(folder: Path, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    make_source_tree(origin)
    output_of("git", "init", "-q", "-b", "main", cwd=origin)
    output_of("git", "add", "-A", cwd=origin)
    output_of("git", "commit", "-q", "-m", "origin", cwd=origin)
    clone = folder / "clone"
    output_of("git", "clone", "-q", origin, clone, cwd=folder)
    assert output_of("git", "status", "--porcelain", cwd=clone) == ""
    output_of("git", "fsck", "--full", "--strict", cwd=clone)
    expected = output_of("git", "ls-files", "-s", cwd=origin)
    assert output_of("git", "ls-files", "-s", cwd=clone) == expected
