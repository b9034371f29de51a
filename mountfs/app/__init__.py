"""Composition root of the client: one device, its mounts, and what commands ask of them.

state_folder.py     where a device keeps what, and who may use it now
device.py           who this device is (device.json, device.key)
account.py          log in, log out, devices
registry.py         which mounts of this user run, found by mount point
compose.py          everything that one mount is made of, put together
mount_life.py       a mount from its start to its end: signals, sync, stop
daemon.py           in the background, and telling the parent when it is ready
control_messages.py, control_server.py, control_client.py
                    what commands say to a running mount
status.py           a mount in numbers
doctor.py           what is wrong with this machine, and the remedy
logs.py             where a mount writes its log
"""
