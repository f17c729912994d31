-- Schema 3: the audit log and the rotation's goal get their final names. A program that knows schema 2 cannot use it.

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
