-- The log's rows get a place instead of an index; generations are only ever read all together.
CREATE TABLE new_log (
    place     INTEGER NOT NULL PRIMARY KEY,
    touched   INTEGER NOT NULL,
    start_at  INTEGER NOT NULL,
    end_at    INTEGER,
    at_ns     INTEGER NOT NULL,
    data      BLOB
);
INSERT INTO new_log
    SELECT generation_id << 32 | row_number() OVER (PARTITION BY generation_id ORDER BY touched),
           touched, start_at, end_at, at_ns, data
    FROM overlay_log;
DROP INDEX generation_by_node;
DROP TABLE overlay_log;
ALTER TABLE new_log RENAME TO overlay_log;
