"""Patterns of alarming log lines that a test provokes, named by what it does."""

from typing import Final

UNREACHABLE: Final = ["unreachable", "offline"]
"""The server does not answer: each mount may say so, and when it is back."""
