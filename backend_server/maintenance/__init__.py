"""What must be done now and then, each in a loop of its own that never ends by itself.

reap.py     uploads whose lease is over
"""
