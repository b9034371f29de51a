"""Two devices at work while links are cut and processes killed: nothing written may be lost.

    python tests/ordeal --minutes 5 --seed 7

Real server, real mounts; one device behind a slow link. On each mount a program saves, appends,
renames and makes files, and both append to the same ones; every write carries a token of its own,
which is noted when the call has returned. Meanwhile the link is cut for long stretches, and the
first device's mount and the server are killed (SIGKILL) and started again. In the end everything
is let settle: both mounts must be the same, and every noted token must be in some file.

    plan.py      what happens when; pure
    writer.py    the program on one mount
    command.py   options, the run, the verdict
"""
