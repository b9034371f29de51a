"""What can go wrong in a store, by who can do something about it.

    StoreError
    + StorageFull        the admin: no room for more objects; nothing of the group was kept
    + StoreUnavailable   try again later: the device or the folder does not answer as it should

A missing or damaged object is not an exception but a value (`ObjectFault`), because it must not
take the other objects of its batch down with it.
"""


class StoreError(Exception):
    """A store could not do what was asked."""


class StorageFull(StoreError):
    """There is no room for the group; nothing of it is visible."""


class StoreUnavailable(StoreError):
    """The store failed for a reason that may pass (I/O error, rights, unmounted folder)."""
