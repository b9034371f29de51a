-- States of the server that are too many for one transaction are gathered beside the mirror; see schema.sql.
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
