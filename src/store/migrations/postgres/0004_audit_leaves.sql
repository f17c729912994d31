-- Schema 4: the audit log as leaves of a Merkle tree. It only adds; the version before goes on beside it, and writes to
-- `audit_log`, whose rows the next append turns into leaves.

-- The head of the log: one row, which every append locks until it commits. So indexes have no gap, which those of a
-- sequence have after a rollback.
CREATE TABLE countersign.audit_head (
    one            BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    -- Number of leaves.
    size           BIGINT NOT NULL,
    epoch          BIGINT NOT NULL,
    -- Index of the epoch's first leaf.
    epoch_begun_at BIGINT NOT NULL,
    -- The last row of `audit_log` that is a leaf.
    swept          BIGINT NOT NULL,
    -- Description of a fork that was found.
    fork           TEXT
) WITH (fillfactor = 10);
INSERT INTO countersign.audit_head (one, size, epoch, epoch_begun_at, swept) VALUES (1, 0, 1, 0, 0);

-- Leaves, from 0 without a gap. `text` is what the tree is built on; the other columns repeat it for queries.
CREATE TABLE countersign.audit_leaves (
    number     BIGINT NOT NULL PRIMARY KEY,
    text       TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    request_id TEXT,
    action     TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    ring       TEXT,
    kid        TEXT,
    app        TEXT,
    user_hash  TEXT,
    session    TEXT,
    client     TEXT,
    api_key    TEXT,
    why        TEXT   NOT NULL
);
-- Events of keys are few among those of sessions.
CREATE INDEX audit_leaves_of_rings ON countersign.audit_leaves (number) WHERE ring IS NOT NULL;

CREATE TRIGGER audit_leaves_are_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON countersign.audit_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION countersign.audit_log_is_append_only();

-- Acts that took effect and whose leaves could not be appended: the text of a leaf from its index on.
CREATE TABLE countersign.audit_waiting (
    seq    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record TEXT NOT NULL
);

-- Checkpoints that were printed.
CREATE TABLE countersign.audit_checkpoints (
    epoch    BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    note     TEXT   NOT NULL,
    -- Roots of the perfect subtrees, from the largest.
    subtrees BYTEA  NOT NULL,
    PRIMARY KEY (epoch, size)
);

-- Inserts leaves after the head, which its caller has locked and writes. Each record is the text of a leaf from its index
-- on. Nobody but the functions below calls it.
CREATE FUNCTION countersign.insert_leaves(head countersign.audit_head, records text[]) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS
$$ DECLARE
    beginning text := concat('{"v":1', ',"installation":' ||
        to_json((SELECT value FROM countersign.meta WHERE name = 'installation_id')),
        ',"epoch":', head.epoch, ',"index":');
BEGIN
    INSERT INTO countersign.audit_leaves
        SELECT leaf.number, leaf.text, shown.* FROM (
            SELECT head.size + n - 1 AS number, concat(beginning, head.size + n - 1, record) AS text
            FROM unnest(records) WITH ORDINALITY AS record (record, n)) leaf,
        json_to_record(leaf.text::json) AS shown (at bigint, actor text, request_id text, action text, outcome text,
            ring text, kid text, app text, "user" text, session text, client text, api_key text, why text);
END $$;
REVOKE ALL ON FUNCTION countersign.insert_leaves(countersign.audit_head, text[]) FROM PUBLIC;

-- Refuses roles that log in and may not act, such as one that only reads: the functions below run with the rights of the
-- tables' owner, and every role may call them.
CREATE FUNCTION countersign.must_be_of_service() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    IF NOT has_table_privilege(session_user, 'countersign.audit_head', 'UPDATE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'permission denied for the audit log';
    END IF;
END $$;
REVOKE ALL ON FUNCTION countersign.must_be_of_service() FROM PUBLIC;

-- Appends leaves after those that wait: rows that a program of the version before wrote, then acts without a leaf. Those rows
-- become visible in the order of `seq`, since their writers lock the generation first: none comes after `swept` that is
-- before it. The functions run with the rights of the tables' owner: whoever may act need not be allowed to write the log,
-- and cannot act without it. `search_path` is fixed, so that no name leads elsewhere.
CREATE FUNCTION countersign.append_leaves(records text[], refused_after_fork boolean) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$ DECLARE
    head    countersign.audit_head;
    before  text[];
    waiting text[];
    last    bigint;
BEGIN
    PERFORM countersign.must_be_of_service();
    SELECT * INTO STRICT head FROM countersign.audit_head FOR UPDATE;
    IF refused_after_fork AND head.fork IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CSF01', MESSAGE = head.fork;
    END IF;
    SELECT array_agg(concat(',"app":' || to_json(app), ',"at":', at, ',"actor":', to_json(actor),
            ',"action":', to_json(action), ',"outcome":"done"', ',"ring":' || to_json(ring), ',"kid":' || to_json(kid),
            ',"why":', to_json(why), '}') ORDER BY seq), max(seq)
        INTO before, last FROM countersign.audit_log WHERE seq > head.swept;
    WITH taken AS (DELETE FROM countersign.audit_waiting RETURNING seq, record)
        SELECT array_agg(record ORDER BY seq) INTO waiting FROM taken;
    records := before || waiting || records;
    PERFORM countersign.insert_leaves(head, records);
    UPDATE countersign.audit_head
        SET size = size + coalesce(cardinality(records), 0), swept = coalesce(last, swept);
END $$;

-- Appends leaves of acts that stop something. They do not wait for long for another transaction that has the head, such as
-- that of a node which stands still.
CREATE FUNCTION countersign.append_stops(records text[]) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS
$$ BEGIN
    PERFORM countersign.append_leaves(records, false);
END $$;
REVOKE ALL ON FUNCTION countersign.append_stops(text[]) FROM PUBLIC;

-- Records acts in the transaction in which they take effect. Returns 0. An act that stops something takes effect also
-- where its leaf cannot be appended: the record waits then (1), or, where not even that can be written, is on none (2).
CREATE FUNCTION countersign.record_acts(records text[], stops boolean) RETURNS integer LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$ BEGIN
    IF coalesce(cardinality(records), 0) = 0 THEN
        RETURN 0;
    END IF;
    -- Outside the blocks below, which go on after any error.
    PERFORM countersign.must_be_of_service();
    IF NOT stops THEN
        PERFORM countersign.append_leaves(records, true);
        RETURN 0;
    END IF;
    BEGIN
        PERFORM countersign.append_stops(records);
        RETURN 0;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'a leaf of the audit log was not appended: %', SQLERRM;
    END;
    BEGIN
        INSERT INTO countersign.audit_waiting (record)
            SELECT record FROM unnest(records) WITH ORDINALITY AS record (record, n) ORDER BY n;
        RETURN 1;
    EXCEPTION WHEN OTHERS THEN
        RETURN 2;
    END;
END $$;

-- Begins a new epoch with this record, where the head has that size and epoch; a fork is over then. What waits is appended
-- later. Returns false where the head is another.
CREATE FUNCTION countersign.begin_epoch(of_size bigint, of_epoch bigint, record text) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$ DECLARE
    head countersign.audit_head;
BEGIN
    PERFORM countersign.must_be_of_service();
    SELECT * INTO STRICT head FROM countersign.audit_head FOR UPDATE;
    IF head.size <> of_size OR head.epoch <> of_epoch THEN
        RETURN false;
    END IF;
    head.epoch := head.epoch + 1;
    PERFORM countersign.insert_leaves(head, ARRAY[record]);
    UPDATE countersign.audit_head SET size = head.size + 1, epoch = head.epoch, epoch_begun_at = head.size, fork = NULL;
    RETURN true;
END $$;

-- The rows of `audit_log` so far become the first leaves.
SELECT countersign.append_leaves('{}', false);
