"""Several devices and the real server in one event loop, on a seeded network and clock.

The tests go through a few storms. `python tests/simulation` goes through as many as one likes.
"""
