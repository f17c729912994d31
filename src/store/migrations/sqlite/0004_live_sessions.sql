-- Schema 4: rows of ended sessions stay until their tokens cannot open any more, so that a user may have many of them.
-- `ended` in the index lets a login count the rows that have not ended without reading the others. Refreshes still touch
-- no column of the index. The value `evicted` of `ended` is new, and a program of schema 3 does not know it.

DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user, app, ended);
