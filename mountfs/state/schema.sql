-- The state of one drive on one device.
--
-- Survives SIGKILL at any moment (WAL, synchronous=NORMAL: a commit is in the file when it
-- returns) and power loss as far as fsync(2) was asked for (see Database.make_durable).

-- Single values: cursor, counters, quota, how the last run ended.
CREATE TABLE meta (
    key    TEXT NOT NULL PRIMARY KEY,
    value  BLOB NOT NULL
) WITHOUT ROWID;

-- The mirror: nodes of the view as of the cursor. Fields as protocol/tree_messages.py NodeState.
CREATE TABLE node (
    node_id             INTEGER NOT NULL PRIMARY KEY,
    kind                INTEGER NOT NULL,
    mode                INTEGER NOT NULL,
    uid                 INTEGER NOT NULL,
    gid                 INTEGER NOT NULL,
    mtime_ns            INTEGER NOT NULL,
    ctime_ns            INTEGER NOT NULL,
    attributes_version  INTEGER NOT NULL,
    size_bytes          INTEGER NOT NULL,
    revision            INTEGER NOT NULL,
    manifest_id         BLOB    NOT NULL,
    entries             BLOB    NOT NULL,
    target              BLOB    NOT NULL,
    rdev                INTEGER NOT NULL,
    xattrs              BLOB    NOT NULL DEFAULT x'',
    conflict_of         INTEGER NOT NULL DEFAULT 0,
    conflict_device     TEXT    NOT NULL DEFAULT '',
    conflict_at_ns      INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX conflict ON node (conflict_of) WHERE conflict_of;

-- The mirror: (parent, name) leads to node_id. What leads to nothing has no row.
CREATE TABLE dentry (
    parent     INTEGER NOT NULL,
    name       BLOB    NOT NULL,
    node_id    INTEGER NOT NULL,
    is_folder  INTEGER NOT NULL DEFAULT 0,  -- of the node: st_nlink counts a folder's folders
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE INDEX dentry_by_node ON dentry (node_id);
CREATE INDEX subfolder ON dentry (parent) WHERE is_folder;

-- The next mirror: rows of the server's states that the mirror does not have yet, while there are too
-- many of them to put them into it at once. Rows as above; kind 0: the node is removed; node_id 0: the
-- name leads to nothing. Nobody reads them until `meta` has `shown_mirror`; from then on what is
-- shown is the mirror with these rows over it, until the last of them is moved into it.
CREATE TABLE next_node (
    node_id             INTEGER NOT NULL PRIMARY KEY,
    kind                INTEGER NOT NULL,
    mode                INTEGER NOT NULL,
    uid                 INTEGER NOT NULL,
    gid                 INTEGER NOT NULL,
    mtime_ns            INTEGER NOT NULL,
    ctime_ns            INTEGER NOT NULL,
    attributes_version  INTEGER NOT NULL,
    size_bytes          INTEGER NOT NULL,
    revision            INTEGER NOT NULL,
    manifest_id         BLOB    NOT NULL,
    entries             BLOB    NOT NULL,
    target              BLOB    NOT NULL,
    rdev                INTEGER NOT NULL,
    xattrs              BLOB    NOT NULL,
    conflict_of         INTEGER NOT NULL,
    conflict_device     TEXT    NOT NULL,
    conflict_at_ns      INTEGER NOT NULL
);
CREATE TABLE next_dentry (
    parent     INTEGER NOT NULL,
    name       BLOB    NOT NULL,
    node_id    INTEGER NOT NULL,
    is_folder  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE INDEX next_dentry_by_node ON next_dentry (node_id);
CREATE INDEX next_subfolder ON next_dentry (parent) WHERE is_folder;
CREATE VIEW shown_node AS
    SELECT node_id, kind, mode, uid, gid, mtime_ns, ctime_ns, attributes_version, size_bytes, revision,
           manifest_id, entries, target, rdev, xattrs, conflict_of, conflict_device, conflict_at_ns
    FROM next_node WHERE kind
    UNION ALL
    SELECT node_id, kind, mode, uid, gid, mtime_ns, ctime_ns, attributes_version, size_bytes, revision,
           manifest_id, entries, target, rdev, xattrs, conflict_of, conflict_device, conflict_at_ns
    FROM node WHERE NOT EXISTS (SELECT 1 FROM next_node AS n WHERE n.node_id = node.node_id);
CREATE VIEW shown_dentry AS
    SELECT parent, name, node_id, is_folder FROM next_dentry WHERE node_id
    UNION ALL
    SELECT parent, name, node_id, is_folder FROM dentry WHERE NOT EXISTS
    (SELECT 1 FROM next_dentry AS n WHERE n.parent = dentry.parent AND n.name = dentry.name);

-- Attributes set here, or a node made here (is_created: the server has not seen it). All fields
-- hold what programs see. `touched` is the change counter's value at the last change.
CREATE TABLE local_node (
    node_id             INTEGER NOT NULL PRIMARY KEY,
    kind                INTEGER NOT NULL,
    mode                INTEGER NOT NULL,
    uid                 INTEGER NOT NULL,
    gid                 INTEGER NOT NULL,
    mtime_ns            INTEGER NOT NULL,
    ctime_ns            INTEGER NOT NULL,
    attributes_version  INTEGER NOT NULL,   -- the mirror's, when the change was made
    target              BLOB    NOT NULL,
    rdev                INTEGER NOT NULL,
    is_created          INTEGER NOT NULL,
    touched             INTEGER NOT NULL,
    xattrs              BLOB    NOT NULL DEFAULT x'',
    conflict_of         INTEGER NOT NULL DEFAULT 0,
    conflict_device     TEXT    NOT NULL DEFAULT '',
    conflict_at_ns      INTEGER NOT NULL DEFAULT 0
);

-- Dentries changed here: (parent, name) leads to node_id (0: to nothing) for programs, and to
-- `expected` on the server as far as this change knows. `at_ns`: when a program did it (a renamed
-- node's ctime), 0 if no program did.
CREATE TABLE local_dentry (
    parent    INTEGER NOT NULL,
    name      BLOB    NOT NULL,
    node_id   INTEGER NOT NULL,
    expected  INTEGER NOT NULL,
    touched   INTEGER NOT NULL,
    at_ns     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;

-- Files with content written here. The source is the committed content below the generations
-- (source_node 0: none); `expected_revision` is the head that a commit replaces. They differ when
-- a file took over another's content.
CREATE TABLE overlay (
    node_id             INTEGER NOT NULL PRIMARY KEY,
    expected_revision   INTEGER NOT NULL,
    source_node         INTEGER NOT NULL,
    source_revision     INTEGER NOT NULL,
    source_manifest_id  BLOB    NOT NULL,
    source_entries      BLOB    NOT NULL,
    source_size_bytes   INTEGER NOT NULL,
    merged_from         INTEGER NOT NULL DEFAULT 0   -- revision whose edit was merged in; 0: none
);

-- Files that both sides edited, while nobody has decided yet whether the edits can be merged:
-- programs see what was written here, the mirror has the other side's head, and this is the
-- revision that the edit here began from. Nothing of such a file is sent.
CREATE TABLE dispute (
    node_id           INTEGER NOT NULL PRIMARY KEY,
    base_revision     INTEGER NOT NULL,
    base_manifest_id  BLOB    NOT NULL,
    base_entries      BLOB    NOT NULL,
    base_size_bytes   INTEGER NOT NULL
);

-- Layers of an overlay, the lowest number lowest. All but the highest are frozen.
CREATE TABLE generation (
    generation_id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    node_id              INTEGER NOT NULL,
    size_bytes           INTEGER NOT NULL,   -- when the generation began
    visible_below_bytes  INTEGER NOT NULL,   -- when the generation began
    synced_through       INTEGER NOT NULL    -- staged writes up to this change are on the platter
);

-- What was done to a generation, in order of `place`. Replaying it from the generation's row
-- gives its extents, size and visibility. data: a small write, kept here; NULL: the bytes lie in
-- the staging file. A truncation has end_at NULL and start_at = the new size.
--
-- `place` is generation_id << 32 | the row's number in its generation: one tree and no index, so
-- that a small write changes few pages. A row that takes new data of the same range keeps its
-- place, for nothing after it touches that range.
CREATE TABLE overlay_log (
    place     INTEGER NOT NULL PRIMARY KEY,
    touched   INTEGER NOT NULL,
    start_at  INTEGER NOT NULL,
    end_at    INTEGER,
    at_ns     INTEGER NOT NULL,
    data      BLOB                           -- last: it may lie in pages of its own
);

-- The commit batch on its way: operations without their inline blocks, and what they were made
-- from. Gone when its answers and the changes behind them are applied, in one transaction.
CREATE TABLE batch (
    number    INTEGER NOT NULL PRIMARY KEY,
    detail    BLOB    NOT NULL
);

-- Inodes that are not their node's number: after a save by rename the program's inode lives on
-- with another node.
CREATE TABLE inode_alias (
    inode    INTEGER NOT NULL PRIMARY KEY,
    node_id  INTEGER NOT NULL UNIQUE
);

-- Access times that programs set. They belong to this device and never travel.
CREATE TABLE access_time (
    inode     INTEGER NOT NULL PRIMARY KEY,
    atime_ns  INTEGER NOT NULL
);

-- Changes that the server refused: kept, shown, and not tried again until something changes.
CREATE TABLE parked (
    node_id    INTEGER NOT NULL PRIMARY KEY,
    code       TEXT    NOT NULL,
    at_ns      INTEGER NOT NULL
);
