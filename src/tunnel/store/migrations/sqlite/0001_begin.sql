-- Everything the control plane knows. Moments are seconds since 1970, flags 0 or 1, IDs and digests bytes.
-- The Postgres file of the same number says the same; a test compares the two, table by table.

CREATE TABLE plans (
    plan TEXT NOT NULL PRIMARY KEY CHECK (length(plan) BETWEEN 1 AND 64),
    names_max INTEGER NOT NULL CHECK (names_max >= 0),
    endpoints_max INTEGER NOT NULL CHECK (endpoints_max >= 0),
    requests_month INTEGER NOT NULL CHECK (requests_month >= 0),
    bytes_month INTEGER NOT NULL CHECK (bytes_month >= 0),
    requests_second INTEGER NOT NULL CHECK (requests_second >= 0)
) STRICT;
INSERT INTO plans (plan, names_max, endpoints_max, requests_month, bytes_month, requests_second)
    VALUES ('free', 0, 0, 0, 0, 0);

CREATE TABLE accounts (
    account BLOB NOT NULL PRIMARY KEY CHECK (length(account) = 16),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created INTEGER NOT NULL,
    plan TEXT NOT NULL REFERENCES plans (plan),
    is_suspended INTEGER NOT NULL CHECK (is_suspended IN (0, 1)),
    ttl_default INTEGER NOT NULL CHECK (ttl_default >= 0),
    ttl_max INTEGER NOT NULL CHECK (ttl_max >= 0)
) STRICT;

CREATE TABLE members (
    account BLOB NOT NULL REFERENCES accounts (account),
    identity TEXT NOT NULL CHECK (length(identity) BETWEEN 1 AND 320),
    role TEXT NOT NULL CHECK (role IN ('owner', 'developer', 'auditor')),
    added INTEGER NOT NULL,
    PRIMARY KEY (account, identity)
) STRICT;
CREATE INDEX members_by_identity ON members (identity);

-- Of an API key's secret only the SHA-256; without an account it is an operator's.
CREATE TABLE api_keys (
    public_part TEXT NOT NULL PRIMARY KEY CHECK (length(public_part) BETWEEN 1 AND 64),
    account BLOB REFERENCES accounts (account),
    label TEXT NOT NULL CHECK (length(label) <= 200),
    role TEXT NOT NULL CHECK (role IN ('owner', 'developer', 'auditor')),
    scopes TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    last_used INTEGER
) STRICT;
CREATE INDEX api_keys_by_account ON api_keys (account, created);

CREATE TABLE tokens (
    token BLOB NOT NULL PRIMARY KEY CHECK (length(token) = 16),
    account BLOB NOT NULL REFERENCES accounts (account),
    label TEXT NOT NULL CHECK (length(label) <= 200),
    pattern TEXT NOT NULL CHECK (length(pattern) BETWEEN 1 AND 63),
    kinds INTEGER NOT NULL CHECK (kinds BETWEEN 1 AND 255),
    names_max INTEGER NOT NULL CHECK (names_max BETWEEN 1 AND 65535),
    streams_max INTEGER NOT NULL CHECK (streams_max BETWEEN 1 AND 65535),
    sessions_max INTEGER NOT NULL CHECK (sessions_max BETWEEN 1 AND 65535),
    not_before INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    minted_by TEXT NOT NULL CHECK (length(minted_by) <= 320),
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT;
CREATE INDEX tokens_by_account ON tokens (account, created, token);
CREATE INDEX tokens_by_age ON tokens (created, token);

-- What is void: tokens recorded above, and steps that were narrowed offline and recorded nowhere.
CREATE TABLE revocations (
    token BLOB NOT NULL PRIMARY KEY CHECK (length(token) = 16),
    account BLOB NOT NULL REFERENCES accounts (account),
    revoked INTEGER NOT NULL,
    expiry INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_expiry ON revocations (expiry);

CREATE TABLE names (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    account BLOB NOT NULL REFERENCES accounts (account),
    reserved INTEGER NOT NULL,
    note TEXT NOT NULL CHECK (length(note) <= 500)
) STRICT;
CREATE INDEX names_by_account ON names (account, name);

-- What the data plane last said. It knows accounts of tokens that were minted elsewhere, so nothing is referred to.
CREATE TABLE leases (
    host TEXT NOT NULL,
    name TEXT NOT NULL,
    session TEXT NOT NULL,
    account BLOB NOT NULL CHECK (length(account) = 16),
    peer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    since INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL,
    lapses INTEGER NOT NULL,
    PRIMARY KEY (name, host, session)
) STRICT;
CREATE INDEX leases_by_host ON leases (host);

CREATE TABLE usage_hours (
    account BLOB NOT NULL CHECK (length(account) = 16),
    hour INTEGER NOT NULL,
    name TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0),
    bytes_up INTEGER NOT NULL CHECK (bytes_up >= 0),
    bytes_down INTEGER NOT NULL CHECK (bytes_down >= 0),
    connections INTEGER NOT NULL CHECK (connections >= 0),
    PRIMARY KEY (account, hour, name)
) STRICT;

-- How far each journal of a data-plane process has been applied.
CREATE TABLE journals (
    journal BLOB NOT NULL PRIMARY KEY CHECK (length(journal) = 16),
    position INTEGER NOT NULL CHECK (position >= 0),
    applied INTEGER NOT NULL
) STRICT;

-- One row: grows with every write that the data plane has to be told of.
CREATE TABLE changes (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO changes (only_row, number) VALUES (1, 1);

CREATE TABLE audit (
    number INTEGER NOT NULL PRIMARY KEY CHECK (number >= 1),
    identity TEXT NOT NULL,
    address TEXT NOT NULL,
    api_key TEXT NOT NULL,
    request TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    account BLOB CHECK (length(account) = 16),
    before_json TEXT NOT NULL,
    after_json TEXT NOT NULL,
    at INTEGER NOT NULL,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE INDEX audit_by_account ON audit (account, number);
-- Against mistakes, not against whoever owns the file: those the digests and checkpoints find.
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is only ever added to'); END;
CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is only ever added to'); END;

CREATE TABLE checkpoints (
    number INTEGER NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    before_number INTEGER NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;

CREATE TABLE web_sessions (
    cookie_hash BLOB NOT NULL PRIMARY KEY CHECK (length(cookie_hash) = 32),
    identity TEXT NOT NULL,
    account BLOB REFERENCES accounts (account),
    role TEXT NOT NULL CHECK (role IN ('owner', 'developer', 'auditor')),
    api_key TEXT NOT NULL,
    csrf BLOB NOT NULL,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX web_sessions_by_identity ON web_sessions (identity);

-- What the API answered; a status of 0 is a claim whose work is still being done.
CREATE TABLE answers (
    owner TEXT NOT NULL CHECK (length(owner) <= 64),
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) <= 255),
    request_digest BLOB NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
) STRICT;
CREATE INDEX answers_by_age ON answers (at);
