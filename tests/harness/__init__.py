"""Real servers, real devices and real kernel mounts for tests, and what to hold them against.

Everything here runs the installed commands as a person would, in processes of their own, and stops
what it started by its own process id, also when a test fails. Nothing here knows the insides of
the program under test: a test that needs those belongs to the other folders.
"""
