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
