"""The seeds that once failed: kept beside this file, run for ever."""

from pathlib import Path
from typing import Final

SEEDS_FILE: Final = Path(__file__).parent / "seeds.txt"


def kept_seeds() -> list[int]:
    lines = SEEDS_FILE.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def keep_seed(seed: int, why: str) -> None:
    """Add a seed, once."""
    if seed not in kept_seeds():
        with SEEDS_FILE.open("a") as file:
            file.write(f"{seed} {why}\n")
