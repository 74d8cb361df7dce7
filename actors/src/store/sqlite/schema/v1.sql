-- One row: which database this is, and the term of its last opening.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    cluster_id BLOB NOT NULL,
    term INTEGER NOT NULL
) STRICT;

-- What was asked for. Inserted once, never changed. Ids are UUIDv7, so rows append. The default tenant is NULL, so that
-- its jobs have no entry in any index of tenants.
CREATE TABLE job (
    id BLOB NOT NULL PRIMARY KEY,
    created_ms INTEGER NOT NULL,
    retry_of BLOB,
    name TEXT,
    spec TEXT NOT NULL,
    input BLOB,
    tenant TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX job_name ON job (name, id) WHERE name IS NOT NULL;
CREATE INDEX job_tenant ON job (tenant, id) WHERE tenant IS NOT NULL;

-- Where a live job stands. Narrow, because it is what changes; gone when the job ends.
CREATE TABLE job_hot (
    id BLOB NOT NULL PRIMARY KEY,
    created_ms INTEGER NOT NULL,
    state INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    started INTEGER NOT NULL,
    node BLOB,
    incarnation INTEGER,
    started_ms INTEGER,
    cancel TEXT,
    -- What its spec will weigh when it is over.
    spec_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How a job ended. Inserted once: the primary key is what makes it exactly once.
CREATE TABLE job_result (
    id BLOB NOT NULL PRIMARY KEY,
    status INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    reason TEXT NOT NULL,
    outcome TEXT NOT NULL,
    stdout BLOB,
    stderr BLOB,
    -- What it occupies, spooled output included.
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_result_status ON job_result (status, id);
-- Forgetting, and counting at the start, read nothing else.
CREATE INDEX job_result_finished ON job_result (finished_ms, id, status, bytes);

-- Attempts that came to nothing.
CREATE TABLE attempt_log (
    job BLOB NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    node BLOB NOT NULL,
    fate TEXT NOT NULL,
    why TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

-- Which request a client's key stood for. The default tenant is the empty name.
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    hash BLOB NOT NULL,
    job BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_ms);

-- In which of its lives a node is.
CREATE TABLE node (
    id BLOB NOT NULL PRIMARY KEY,
    incarnation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may come in. Only the hash of a token's secret is here. Revoked and expired ones stay: that there ever was one is
-- what makes the node demand one.
CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    hash BLOB NOT NULL,
    tenant TEXT,
    scopes TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    last_used_ms INTEGER,
    revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
