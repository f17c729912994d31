-- Schema 3: what nodes follow to answer while the store is out of reach. It only adds; the version before goes on beside
-- it, and the triggers write down its ends, too. It puts no end of a user on record in `user_ends`, so that a session
-- that began while the store was out of reach outlives a revocation by a program of that version: revoke again when the
-- update is complete.

-- Log of what ended, and of opt-ins. Rows become visible in the order of commits, which is not that of their numbers:
-- whoever follows reads on from the oldest transaction that was running (`xid`), and takes the rows in their order. Who
-- undoes an end waits for whoever made it, and so has the greater number.
CREATE TABLE countersign.ends (
    number  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid     XID8   NOT NULL DEFAULT pg_current_xact_id(),
    -- session, user, app, login, opt_out or opt_in
    kind    TEXT   NOT NULL,
    -- Id of the session, or keyed hash of the user or login.
    subject BYTEA,
    app     TEXT,
    why     TEXT,
    -- Sessions that were created, and credentials that were issued, at or before it have ended.
    at      BIGINT,
    -- Time from which nobody need remember it.
    until   BIGINT
);
CREATE INDEX ends_by_xid ON countersign.ends (xid);

-- The last number of the log at the time of a purge. Not every write has a time, and none has that of the purge's clock:
-- so that no row is forgotten too early, a row counts as written when a purge first found it.
CREATE TABLE countersign.ends_dates (
    at     BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);

-- Every session of the user, on one app or all, that was created at or before `ended_at` has ended then: also one that
-- is put on record later.
CREATE TABLE countersign.user_ends (
    user_hash BYTEA  NOT NULL,
    app       TEXT   NOT NULL,
    ended_at  BIGINT NOT NULL,
    PRIMARY KEY (user_hash, app)
);
CREATE INDEX user_ends_by_time ON countersign.user_ends (ended_at);

-- How far each node has followed the log, and until when it may answer without the store.
CREATE TABLE countersign.followers (
    node         TEXT   NOT NULL PRIMARY KEY,
    position     BIGINT NOT NULL,
    looked       BIGINT NOT NULL,
    serves_until BIGINT
) WITH (fillfactor = 70);

-- A node that begins reads the sessions that have ended. No refresh changes a column of this index.
CREATE INDEX IF NOT EXISTS sessions_ended ON countersign.sessions (id) INCLUDE (expires) WHERE ended IS NOT NULL;

-- The functions run with the rights of the tables' owner: whoever may end a session need not be allowed to write the log,
-- and cannot end one without it. `search_path` is fixed, so that no name leads elsewhere.
CREATE FUNCTION countersign.log_session_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    INSERT INTO countersign.ends (kind, subject, app, why, at, until)
        VALUES ('session', NEW.id, NEW.app, NEW.ended, NEW.ended_at, NEW.expires);
    RETURN NULL;
END $$;
CREATE TRIGGER session_is_born_ended AFTER INSERT ON countersign.sessions
    FOR EACH ROW WHEN (NEW.ended IS NOT NULL) EXECUTE FUNCTION countersign.log_session_end();
-- `OF ended`: a refresh does not name the column, and so does not even ask for the condition.
CREATE TRIGGER session_ends AFTER UPDATE OF ended ON countersign.sessions
    FOR EACH ROW WHEN (NEW.ended IS NOT NULL AND OLD.ended IS NULL) EXECUTE FUNCTION countersign.log_session_end();

CREATE FUNCTION countersign.log_user_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    INSERT INTO countersign.ends (kind, subject, app, at) VALUES ('user', NEW.user_hash, NEW.app, NEW.ended_at);
    RETURN NULL;
END $$;
CREATE TRIGGER user_ends AFTER INSERT OR UPDATE ON countersign.user_ends
    FOR EACH ROW EXECUTE FUNCTION countersign.log_user_end();

CREATE FUNCTION countersign.log_app_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    INSERT INTO countersign.ends (kind, app, at) VALUES ('app', NEW.app, NEW.ended_at);
    RETURN NULL;
END $$;
CREATE TRIGGER app_ends AFTER INSERT OR UPDATE ON countersign.app_ends
    FOR EACH ROW EXECUTE FUNCTION countersign.log_app_end();

CREATE FUNCTION countersign.log_login_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    INSERT INTO countersign.ends (kind, subject, app, at, until)
        VALUES ('login', NEW.login, NEW.app, NEW.issued_until, NEW.remembered_until);
    RETURN NULL;
END $$;
CREATE TRIGGER login_ends AFTER INSERT OR UPDATE ON countersign.sign_outs
    FOR EACH ROW EXECUTE FUNCTION countersign.log_login_end();

CREATE FUNCTION countersign.log_opt_out() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    INSERT INTO countersign.ends (kind, subject, app, at) VALUES ('opt_out', NEW.user_hash, NEW.app, NEW.since);
    RETURN NULL;
END $$;
CREATE TRIGGER user_opts_out AFTER INSERT ON countersign.opt_outs
    FOR EACH ROW EXECUTE FUNCTION countersign.log_opt_out();

CREATE FUNCTION countersign.log_opt_in() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    INSERT INTO countersign.ends (kind, subject, app) VALUES ('opt_in', OLD.user_hash, OLD.app);
    RETURN NULL;
END $$;
CREATE TRIGGER user_opts_in AFTER DELETE ON countersign.opt_outs
    FOR EACH ROW EXECUTE FUNCTION countersign.log_opt_in();

-- Nobody else makes a trigger of these.
REVOKE ALL ON FUNCTION countersign.log_session_end(), countersign.log_user_end(), countersign.log_app_end(),
    countersign.log_login_end(), countersign.log_opt_out(), countersign.log_opt_in() FROM PUBLIC;

-- Timeline of the server: each promotion of a standby begins another one, which uses numbers of transactions again. 0
-- where the server does not say (a standby; some managed databases).
CREATE FUNCTION countersign.timeline() RETURNS bigint LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
EXCEPTION WHEN OTHERS THEN
    RETURN 0;
END $$;
GRANT EXECUTE ON FUNCTION countersign.timeline() TO PUBLIC;
