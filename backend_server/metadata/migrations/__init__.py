"""Alembic's scripts: `env.py` and one file a revision, the oldest first by number."""
