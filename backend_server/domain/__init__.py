"""What the server decides, without doing it. Pure: no SQL, no clock, no I/O, no randomness.

caller.py          who asks, and what they may see
refusals.py        a call that is refused as a whole
vault.py           the seam to the drive's keys and stored blocks
tree.py            the working set of a commit: loaded nodes and dentries, changed in memory
*.py               one decision a file
"""
