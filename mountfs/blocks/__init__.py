"""Content between the cache and the network.

    manifests.py     which chunks a revision is made of
    older.py         which manifests of a node came before: what deltas down are made against
    store.py         chunks on this device: memory, on their way to the cache, in the cache
    cache_writer.py  the one writer of the cache
    flights.py, fetcher.py   chunks from the server: one flight a chunk, many chunks a request
    reader.py        bytes of a file
    read_stream.py   bytes of an open file, read ahead
    builder.py       from a plan (`core.delta`) to new chunks
    delta_choice.py  which old chunk each new one is told against
    encoder.py       new chunks as blocks or deltas
    trust.py         what the drive is thought to have
    lost_chunks.py   what the server said that it lost
    bring_back.py    what the server lost and this device has goes back
    announcer.py     telling the server first, and hearing what it lacks
    upload.py        one upload: cut, encode, announce and send side by side
    inline_content.py, telling.py   small content in the commit; manifests in few bytes
    uploader.py      from dirty bytes to content that a commit can name
    room.py          the parts put together
    workers.py       where work that would hold up the loop is done

Everything here runs on one trio loop. The cache is read inline (microseconds) and written by one
worker at a time. No task waits for another's network call but for that of the very chunk or
manifest it needs.
"""
