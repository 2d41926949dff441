-- Everything the control plane knows. Moments are seconds since 1970, flags 0 or 1, IDs and digests bytes.
-- The SQLite file of the same number says the same; a test compares the two, table by table.
-- Text is ordered by its bytes (COLLATE "C"), as SQLite orders it, whatever the cluster's locale is.

CREATE TABLE plans (
    plan TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(plan) BETWEEN 1 AND 64),
    names_max BIGINT NOT NULL CHECK (names_max >= 0),
    endpoints_max BIGINT NOT NULL CHECK (endpoints_max >= 0),
    requests_month BIGINT NOT NULL CHECK (requests_month >= 0),
    bytes_month BIGINT NOT NULL CHECK (bytes_month >= 0),
    requests_second BIGINT NOT NULL CHECK (requests_second >= 0)
);
INSERT INTO plans (plan, names_max, endpoints_max, requests_month, bytes_month, requests_second)
    VALUES ('free', 0, 0, 0, 0, 0);

CREATE TABLE accounts (
    account BYTEA NOT NULL PRIMARY KEY CHECK (length(account) = 16),
    name TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created BIGINT NOT NULL,
    plan TEXT COLLATE "C" NOT NULL REFERENCES plans (plan),
    is_suspended BIGINT NOT NULL CHECK (is_suspended IN (0, 1)),
    ttl_default BIGINT NOT NULL CHECK (ttl_default >= 0),
    ttl_max BIGINT NOT NULL CHECK (ttl_max >= 0)
);

CREATE TABLE members (
    account BYTEA NOT NULL REFERENCES accounts (account),
    identity TEXT COLLATE "C" NOT NULL CHECK (length(identity) BETWEEN 1 AND 320),
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'developer', 'auditor')),
    added BIGINT NOT NULL,
    PRIMARY KEY (account, identity)
);
CREATE INDEX members_by_identity ON members (identity);

-- Of an API key's secret only the SHA-256; without an account it is an operator's.
CREATE TABLE api_keys (
    public_part TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(public_part) BETWEEN 1 AND 64),
    account BYTEA REFERENCES accounts (account),
    label TEXT COLLATE "C" NOT NULL CHECK (length(label) <= 200),
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'developer', 'auditor')),
    scopes TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL CHECK (length(secret_hash) = 32),
    created BIGINT NOT NULL,
    expires BIGINT,
    revoked BIGINT,
    last_used BIGINT
);
CREATE INDEX api_keys_by_account ON api_keys (account, created);

CREATE TABLE tokens (
    token BYTEA NOT NULL PRIMARY KEY CHECK (length(token) = 16),
    account BYTEA NOT NULL REFERENCES accounts (account),
    label TEXT COLLATE "C" NOT NULL CHECK (length(label) <= 200),
    pattern TEXT COLLATE "C" NOT NULL CHECK (length(pattern) BETWEEN 1 AND 63),
    kinds BIGINT NOT NULL CHECK (kinds BETWEEN 1 AND 255),
    names_max BIGINT NOT NULL CHECK (names_max BETWEEN 1 AND 65535),
    streams_max BIGINT NOT NULL CHECK (streams_max BETWEEN 1 AND 65535),
    sessions_max BIGINT NOT NULL CHECK (sessions_max BETWEEN 1 AND 65535),
    not_before BIGINT NOT NULL,
    expiry BIGINT NOT NULL,
    minted_by TEXT COLLATE "C" NOT NULL CHECK (length(minted_by) <= 320),
    created BIGINT NOT NULL,
    revoked BIGINT
);
CREATE INDEX tokens_by_account ON tokens (account, created, token);
CREATE INDEX tokens_by_age ON tokens (created, token);

-- What is void: tokens recorded above, and steps that were narrowed offline and recorded nowhere.
CREATE TABLE revocations (
    token BYTEA NOT NULL PRIMARY KEY CHECK (length(token) = 16),
    account BYTEA NOT NULL REFERENCES accounts (account),
    revoked BIGINT NOT NULL,
    expiry BIGINT NOT NULL
);
CREATE INDEX revocations_by_expiry ON revocations (expiry);

CREATE TABLE names (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    account BYTEA NOT NULL REFERENCES accounts (account),
    reserved BIGINT NOT NULL,
    note TEXT COLLATE "C" NOT NULL CHECK (length(note) <= 500)
);
CREATE INDEX names_by_account ON names (account, name);

-- What the data plane last said. It knows accounts of tokens that were minted elsewhere, so nothing is referred to.
CREATE TABLE leases (
    host TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    account BYTEA NOT NULL CHECK (length(account) = 16),
    peer TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    since BIGINT NOT NULL,
    heartbeat BIGINT NOT NULL,
    lapses BIGINT NOT NULL,
    PRIMARY KEY (name, host, session)
);
CREATE INDEX leases_by_host ON leases (host);

CREATE TABLE usage_hours (
    account BYTEA NOT NULL CHECK (length(account) = 16),
    hour BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL CHECK (requests >= 0),
    bytes_up BIGINT NOT NULL CHECK (bytes_up >= 0),
    bytes_down BIGINT NOT NULL CHECK (bytes_down >= 0),
    connections BIGINT NOT NULL CHECK (connections >= 0),
    PRIMARY KEY (account, hour, name)
);

-- How far each journal of a data-plane process has been applied.
CREATE TABLE journals (
    journal BYTEA NOT NULL PRIMARY KEY CHECK (length(journal) = 16),
    position BIGINT NOT NULL CHECK (position >= 0),
    applied BIGINT NOT NULL
);

-- One row: grows with every write that the data plane has to be told of.
CREATE TABLE changes (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    number BIGINT NOT NULL
);
INSERT INTO changes (only_row, number) VALUES (1, 1);

CREATE TABLE audit (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number >= 1),
    identity TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    api_key TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    account BYTEA CHECK (length(account) = 16),
    before_json TEXT COLLATE "C" NOT NULL,
    after_json TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    previous BYTEA NOT NULL CHECK (length(previous) = 32),
    digest BYTEA NOT NULL CHECK (length(digest) = 32)
);
CREATE INDEX audit_by_account ON audit (account, number);
-- Against mistakes, not against whoever owns the file: those the digests and checkpoints find.
CREATE FUNCTION refuse_a_change_of_the_audit_trail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit trail is only ever added to' USING ERRCODE = 'restrict_violation'; END
$$;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_a_change_of_the_audit_trail();
CREATE TRIGGER audit_is_never_shortened BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_a_change_of_the_audit_trail();

CREATE TABLE checkpoints (
    number BIGINT NOT NULL PRIMARY KEY,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    before_number BIGINT NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    public_key BYTEA NOT NULL CHECK (length(public_key) = 32),
    signature BYTEA NOT NULL CHECK (length(signature) = 64)
);

CREATE TABLE web_sessions (
    cookie_hash BYTEA NOT NULL PRIMARY KEY CHECK (length(cookie_hash) = 32),
    identity TEXT COLLATE "C" NOT NULL,
    account BYTEA REFERENCES accounts (account),
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'developer', 'auditor')),
    api_key TEXT COLLATE "C" NOT NULL,
    csrf BYTEA NOT NULL,
    created BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX web_sessions_by_identity ON web_sessions (identity);

-- What the API answered; a status of 0 is a claim whose work is still being done.
CREATE TABLE answers (
    owner TEXT COLLATE "C" NOT NULL CHECK (length(owner) <= 64),
    idempotency_key TEXT COLLATE "C" NOT NULL CHECK (length(idempotency_key) <= 255),
    request_digest BYTEA NOT NULL,
    status BIGINT NOT NULL,
    body BYTEA NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
);
CREATE INDEX answers_by_age ON answers (at);
