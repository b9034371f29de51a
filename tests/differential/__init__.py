"""The same system calls on a local folder and on a mount, and everything compared.

`calls` are inert values; an `Actor` is a process of some user that makes them; a `Site` is a folder
with its actors; `snapshot` says what a folder is after each step. Nothing here knows what is right:
the local folder does.
"""
