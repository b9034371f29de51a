"""The check of a server's data: what was cut, flipped or deleted behind our back, and its repair.

    run.py            all of it, in order
    surroundings.py   what every part is given
    report.py         what was found, bounded, and what became of it
    keys.py           the keys of each drive, as far as they can be had
    revisions.py      each has its manifest
    heads.py          what the row of each file says of its content
    counters.py       quota, head and journal of a drive
    tree.py           its names and nodes
    blocks.py         its blocks, held against their rows and ids
    losses.py         which content names a chunk that is lost
    content.py        its manifests, and the chunks that they name
    blocks_folder.py  files that no row knows

Without `is_repairing` nothing is written, and the check may run beside the server: rows are read in
one transaction where they must agree, and of an object that is being stored the row is there
first. Repairing needs the data for itself. Each step of a repair may be cut off: the next check
finds what is left. `domain.check_*` decide; here is only done.

Memory does not grow with the data but for 16 bytes a folder: rows and objects come in batches, and
of what is found only so much is kept.
"""
