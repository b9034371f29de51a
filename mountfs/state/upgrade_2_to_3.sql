-- Counting a folder's folders looks at nothing else; a rename has a time; reads leave one too; nodes
-- have extended attributes.
ALTER TABLE dentry ADD COLUMN is_folder INTEGER NOT NULL DEFAULT 0;
UPDATE dentry SET is_folder = 1 WHERE node_id IN (SELECT node_id FROM node WHERE kind = 2);
CREATE INDEX subfolder ON dentry (parent) WHERE is_folder;
ALTER TABLE local_dentry ADD COLUMN at_ns INTEGER NOT NULL DEFAULT 0;
CREATE TABLE access_time (
    inode     INTEGER NOT NULL PRIMARY KEY,
    atime_ns  INTEGER NOT NULL
);
ALTER TABLE node ADD COLUMN xattrs BLOB NOT NULL DEFAULT x'';
ALTER TABLE local_node ADD COLUMN xattrs BLOB NOT NULL DEFAULT x'';
-- Conflict copies are known by what they are copies of, wherever they were made.
ALTER TABLE node ADD COLUMN conflict_of INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN conflict_device TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN conflict_at_ns INTEGER NOT NULL DEFAULT 0;
CREATE INDEX conflict ON node (conflict_of) WHERE conflict_of;
ALTER TABLE local_node ADD COLUMN conflict_of INTEGER NOT NULL DEFAULT 0;
ALTER TABLE local_node ADD COLUMN conflict_device TEXT NOT NULL DEFAULT '';
ALTER TABLE local_node ADD COLUMN conflict_at_ns INTEGER NOT NULL DEFAULT 0;
-- Edits of both sides can be merged before they are sent.
ALTER TABLE overlay ADD COLUMN merged_from INTEGER NOT NULL DEFAULT 0;
CREATE TABLE dispute (
    node_id           INTEGER NOT NULL PRIMARY KEY,
    base_revision     INTEGER NOT NULL,
    base_manifest_id  BLOB    NOT NULL,
    base_entries      BLOB    NOT NULL,
    base_size_bytes   INTEGER NOT NULL
);
-- What a newer server said of nodes and an older program dropped is asked for again: this is no cursor,
-- so the feed is reset, and the whole tree comes as a difference.
UPDATE meta SET value = 'upgraded' WHERE key = 'cursor';
