"""Composition root of the client: one device, its mounts, and what commands ask of them.

Commands
    account.py          log in, log out, devices
    start_mount.py      what can be checked before a mount, then here or in the background
    doctor.py           what is wrong with this machine, and the remedy
    check.py, check_access.py, check_repair.py
                        what is wrong with a device's state, and repairing it
    failures.py         errors for people: remedy and exit code

A device
    state_folder.py     where it keeps what, and who may use it now
    device.py           who it is (device.json, device.key)
    identity_of_work.py ids of nodes, numbers of operations
    drives.py           which drives it may see, remembered
    registry.py         which mounts of this user run, found by mount point

A mount
    daemon.py           in the background, and telling the parent when it is ready
    process_tuning.py   interpreter and allocator of its process
    logs.py             where it writes its log
    compose.py          everything that it is made of, put together
    content_access.py, close_to_open.py, cache_upkeep.py
                        rooms that do not know each other, introduced
    mount_life.py       from its start to its end: signals, sync, stop
    control_messages.py, control_server.py, control_client.py
                        what commands say to it
    running_drive.py, status.py, transfer_counts.py
                        in numbers
"""
