-- Schema 7: private keys in the store. It only adds; the version before goes on beside it, and loads no such key.

-- Private halves of signing keys, each sealed with a key that is derived from the sealing secret.
CREATE TABLE sealed_keys (
    kid    TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Custody of each loaded key: a list of `<key id>:<custody>` with commas; NULL where a node does not say.
ALTER TABLE nodes ADD COLUMN loaded_from TEXT;
