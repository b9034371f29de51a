"""The metadata of all drives: the one door to SQL.

    database.py      the door: `read` and `write` of synchronous work, migrations, closing
    executors.py     where that work runs: threads beside asyncio, or inline in simulations
    group_commit.py  many writes, one durability point
    errors.py        what can go wrong here, translated from SQLAlchemy and SQLite
    tables/          the schema, prose first
    migrations/      how a database becomes that schema (Alembic)
    *_rows.py        statements, set-wise: one file a subject

Invariants: nobody else imports SQLAlchemy to send SQL; no query joins two drives and no
transaction spans them; an exception that leaves the door is ours.
"""
