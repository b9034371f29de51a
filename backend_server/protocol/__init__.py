"""What client and server both believe: identities, limits, bytes on the wire, errors.

Pure: no clock, no randomness, no I/O, no trio, httpx or SQL. The client imports this package of
the server and nothing else of it. Whatever is decided here is decided once; both sides call the
same function.

    identity.py     names of things: NodeId, ChunkId, DriveId and how content gets its id
    limits.py       every bound that both sides must agree on, and how the bounds relate
    chunking.py     where a byte stream is cut (FastCDC)
    blocks.py       a chunk encoded as it travels and is stored (raw, zstd, zstd against a base)
    manifests.py    the ordered chunks of a revision: packing, segments, ids, splices
    compression.py  a whole body compressed, and back within a bound
    answers.py      whether an answer can be one: checked by whoever gets it
    frames.py       many headers and payloads in one body
    encoding.py     how a message becomes bytes: JSON, msgpack
    *_messages.py   the calls, by what they are about: one Struct a request or answer
    lost_past.py    what a drive lost when its server came back from a backup
    errors.py       error code, HTTP status and message, in one table
"""
