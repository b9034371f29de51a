"""The drive's server: accounts, drives, journal and blocks behind one HTTP API.

Layers, top to bottom: `cli`, `app` (composition), `api` and `maintenance`, `services`
(one use case a file: load, decide, store), `metadata` / `blocks` / `notify` (doors to the
outside), `domain` (pure), `protocol` (pure; the one package that the client imports too).
"""
