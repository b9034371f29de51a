"""What this device knows of one drive, in SQLite and staging files.

The mirror (the server's tree as of a cursor), what was changed here since (dentries, nodes,
overlays), the batch that is on its way, and the inodes. What programs see is the mirror with the
local changes on top; `tree.LocalTree` reads it so.

Invariant: a local row exists exactly while it differs from the mirror, or is on its way.
Atomicity: every public method is one transaction or joins the caller's (`Database.transaction`).
Everything runs on the event loop's thread, in microseconds; only `fsync` goes to a worker.
"""
