"""Where sealed blocks are kept: immutable objects behind one small interface.

A store knows names and bytes. It has no key, no database and no idea of who asks; which object
holds which chunk is written in `metadata`, and bytes are sealed and opened in `services`.

    block_store.py      the interface and its promises
    errors.py           what can go wrong
    local_folder.py     objects as files of a folder
    object_files.py     where in the folder an object is
    folder_inspection.py  the folder looked at from outside, by a check
    memory.py           objects in memory, for tests and simulations
    verifying.py        wrapper: never hands out bytes that do not match their digest
    metered.py          wrapper: counts calls, bytes and seconds
    worker_threads.py   the named, bounded door to threads
"""
