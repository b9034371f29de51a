"""The device's side of mountfs: a remote drive shown as an ordinary folder.

Layers, top to bottom: `cli`, `app` (composition, daemon), `fuse` (the kernel's adapter), `vfs`
(what file system calls mean) and `sync` (how changes travel), `blocks` (content between cache and
network), `transport` (HTTP) and `state` (SQLite), `core` (pure decisions).
"""
