"""The kernel's adapter: pyfuse3 in, `mountfs.vfs.interface.FileSystem` out.

pyfuse3 is imported in this package only, and only by the modules that need a mount
(`operations`, `xattr_operations`, `session`): the rest of the client works on machines without it.
Nothing here decides what a file system means; it decides only how the kernel is spoken to.

    operations.py      one handler a request: translate, call, translate
    xattr_operations.py  the calls for extended attributes, for mounts that have them
    errno_map.py       the error tree as errno
    deadlines.py       how long a request may take
    trio_shim.py       how pyfuse3 waits for the kernel without freezing
    reading_turn.py    which of pyfuse3's workers reads the next request
    invalidator.py     telling the kernel to forget, from threads of its own
    mounting.py        is this folder fit to be mounted on; stale mounts; unmounting
    mount_table.py     what the kernel says is mounted
    kernel_tuning.py   read-ahead and request limits that only root may raise
    native_messages.py what libfuse says on standard error
    mount_users.py     which programs use a mount
    session.py         one mount from INIT to unmount
"""
