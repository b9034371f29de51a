"""A day's work of a heavy user at full speed, and what may not grow meanwhile.

    python tests/soak --hours-worth 24 --seed 7

Real server, two real mounts with small caches; the server's reaper and compactor come round every
few seconds. On each mount programs save, patch, append, rename, link, remove, read and list, make
commits with git and transactions with SQLite, and both write the same files. The work is cut into
rounds; behind each everything is sent, and every process and folder is measured. Whatever is
above its ceiling, or still grows with the operations over the second half, is a fault.

    day.py       what a day consists of, cut into rounds; pure
    worker.py    the programs on one mount
    samples.py   what the processes and folders measure
    growth.py    ceilings, growth, and the verdict; pure
    bounds.py    the table: each bound with its reason
    command.py   options, the run, the progress, the verdict
"""
