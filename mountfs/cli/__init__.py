"""`mountfs`: what a person types. Nothing is decided here; commands ask `mountfs.app`.

Heavy modules are imported inside the commands that need them: `mountfs --help` must feel instant.
"""
