"""`mountfs-server`: what an administrator types.

    main.py          commands and exit codes
    failures.py      what went wrong, said with its remedy
    initialise.py    init
    serving.py       serve: the application behind a socket
    serve_lock.py    one process a data folder
    allocator.py     memory of blocks is reused
    users.py         user add, user list
    checking.py      check: finds damage, repairs it
    check_view.py    what a check found, for people and for programs
    sizes.py         10GiB
    log_setup.py     JSON lines on stderr

Exit codes: 0 done, 1 refused, failed or (check) something is wrong, 2 usage.
"""
