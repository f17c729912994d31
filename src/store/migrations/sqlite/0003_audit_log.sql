-- Schema 3: the table `trail` becomes `audit_log`, and columns and goals get their final names. A program of schema 2
-- cannot use this schema.

DROP TRIGGER trail_is_not_changed;
DROP TRIGGER trail_is_not_shortened;

ALTER TABLE trail RENAME TO audit_log;
ALTER TABLE audit_log RENAME COLUMN deed TO action;
ALTER TABLE audit_log RENAME COLUMN by TO actor;

CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_log_is_not_shortened BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

ALTER TABLE rotations RENAME COLUMN made TO new_key;
UPDATE rotations SET goal = CASE goal WHEN 'rest' THEN 'idle' WHEN 'rotate' THEN 'rotating' ELSE 'cleaning_up' END;
