"""`mountfs-server`: what an administrator types.

    main.py          commands and exit codes
    failures.py      what went wrong, said with its remedy
    initialise.py    init
    serving.py       serve: the application behind a socket
    serve_lock.py    one process a data folder
    allocator.py     memory of blocks is reused
    users.py         user add, user list
    sizes.py         10GiB
    log_setup.py     JSON lines on stderr

Exit codes: 0 done, 1 refused or failed, 2 usage.
"""
