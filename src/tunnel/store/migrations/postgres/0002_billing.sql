-- Accounts that pay, and what of their usage was told to the payment provider.

CREATE TABLE billing (
    account BYTEA NOT NULL PRIMARY KEY REFERENCES accounts (account),
    customer TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(customer) BETWEEN 1 AND 255),
    linked BIGINT NOT NULL,
    plan TEXT COLLATE "C" NOT NULL,
    subscription TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    synced BIGINT NOT NULL
);

-- Messages of the provider that were acted on, so that one that comes again is only acknowledged.
CREATE TABLE billing_events (
    event TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(event) BETWEEN 1 AND 255),
    at BIGINT NOT NULL
);
CREATE INDEX billing_events_by_age ON billing_events (at);

-- Up to where each hour was reported; a row and the reports that it stands for are written together.
CREATE TABLE billing_hours (
    account BYTEA NOT NULL REFERENCES billing (account),
    hour BIGINT NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    upto BIGINT NOT NULL CHECK (upto >= 0),
    PRIMARY KEY (account, hour, meter)
);

-- Reports that are to be sent; a row is removed once the provider took it.
CREATE TABLE billing_reports (
    identifier TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(identifier) BETWEEN 1 AND 100),
    account BYTEA NOT NULL REFERENCES billing (account),
    hour BIGINT NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0)
);
