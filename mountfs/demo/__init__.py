"""The demo: a server, an account, a device and a mounted drive on this machine, and a live view.

It runs the installed commands as a person would and owns no logic of the drive. Everything that it
keeps lies in `.demo/`, for the next time; the drive is mounted at `drive/`. What it started, it
ends: by signal, by Ctrl-C, and on the next start what a killed demo left behind.
"""
