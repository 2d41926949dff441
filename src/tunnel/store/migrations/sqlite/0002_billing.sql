-- Accounts that pay, and what of their usage was told to the payment provider.

CREATE TABLE billing (
    account BLOB NOT NULL PRIMARY KEY REFERENCES accounts (account),
    customer TEXT NOT NULL UNIQUE CHECK (length(customer) BETWEEN 1 AND 255),
    linked INTEGER NOT NULL,
    plan TEXT NOT NULL,
    subscription TEXT NOT NULL,
    status TEXT NOT NULL,
    synced INTEGER NOT NULL
) STRICT;

-- Messages of the provider that were acted on, so that one that comes again is only acknowledged.
CREATE TABLE billing_events (
    event TEXT NOT NULL PRIMARY KEY CHECK (length(event) BETWEEN 1 AND 255),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX billing_events_by_age ON billing_events (at);

-- Up to where each hour was reported; a row and the reports that it stands for are written together.
CREATE TABLE billing_hours (
    account BLOB NOT NULL REFERENCES billing (account),
    hour INTEGER NOT NULL,
    meter TEXT NOT NULL,
    upto INTEGER NOT NULL CHECK (upto >= 0),
    PRIMARY KEY (account, hour, meter)
) STRICT;

-- Reports that are to be sent; a row is removed once the provider took it.
CREATE TABLE billing_reports (
    identifier TEXT NOT NULL PRIMARY KEY CHECK (length(identifier) BETWEEN 1 AND 100),
    account BLOB NOT NULL REFERENCES billing (account),
    hour INTEGER NOT NULL,
    meter TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0)
) STRICT;
