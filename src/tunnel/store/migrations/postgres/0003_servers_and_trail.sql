-- Leases belong to a server, not to a host's name: two hosts may be called alike. They are said anew every ten seconds.
DROP TABLE leases;
CREATE TABLE leases (
    server TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    account BYTEA NOT NULL CHECK (length(account) = 16),
    peer TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    since BIGINT NOT NULL,
    heartbeat BIGINT NOT NULL,
    lapses BIGINT NOT NULL,
    PRIMARY KEY (name, server, session)
);
CREATE INDEX leases_by_server ON leases (server);
CREATE INDEX leases_by_lapse ON leases (lapses);

-- A filter of the trail finds what it wants in the order in which it is shown, however rare that is.
CREATE INDEX audit_by_identity ON audit (identity, number);
CREATE INDEX audit_by_subject ON audit (subject, number);
CREATE INDEX audit_by_action ON audit (action, number);
