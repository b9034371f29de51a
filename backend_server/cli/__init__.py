"""`mountfs-server`: what an administrator types.

    main.py          commands and exit codes
    failures.py      what went wrong, said with its remedy
    initialise.py    init
    serving.py       serve: the application behind a socket
    users.py         user add, user list
    sizes.py         10GiB
    log_setup.py     JSON lines on stderr

Exit codes: 0 done, 1 refused or failed, 2 usage.
"""
