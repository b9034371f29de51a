"""Real processes that stop at their Nth system call, and machines that lose their power.

    python tests/stops --of client --kind write --every 25
    python tests/stops --of server --power torn --seed 3

A deterministic script (`work.py`) is done on a real mount of a real server, one system call after
another. The one to be stopped, client or server, carries `stopper.c`, which counts what outlives
the process: writes, syncs, changes of names and sizes, sends to the network, replies to the
kernel. A *stop* is SIGKILL at the Nth call of one kind: before it, after half of its bytes, or
behind it. SQLite's COMMIT is a write of its log and, on the server, a sync of it, so every commit
is among them. Then the process is started again, and the drive is held against the oracle, a plain
folder on which the same calls were made: what had returned is there, and only the call in the air
may be either way. Then the server gets everything, and the drive is compared with an empty cache
and on a device that has never seen it; `mountfs check` and `mountfs-server check` must find
nothing.

A *power loss* is made from a recording: one run of the script in which both processes write down
what they did to their folders, in one order. `disk.py` plays any beginning of it back and leaves
out what was not synced; both are started on what is left, under a new boot id.

    stopper.c     counts, stops, records; preloaded     stopper.py  builds it, and speaks to it
    work.py       the calls of the script               oracle.py   what they leave, and what may be
    house.py      server, devices and mounts, copied from a template for each point
    killing.py    one stop                              verdict.py  what both compare in the end
    stumbling.py  a second stop, at the start behind it
    running.py    does the script on a mount            commands.py what `sync` and `check` do
    recording.py  what was recorded                     disk.py     what outlives a power loss; pure
    blackout.py   one power loss                        command.py  sweeps over all points
"""
