-- The client's tables. "sealed" columns hold what vault.py made; everything else the server knows anyway.

CREATE TABLE vault (
  version INTEGER NOT NULL,            -- of this schema
  kdf BLOB NOT NULL,                   -- how the key is made from the passphrase (msgpack)
  proof BLOB NOT NULL                  -- sealed constant: opens under the right passphrase only
);

CREATE TABLE settings (                -- profile, device keys, account key, cursor, newest message id
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL                  -- sealed
) WITHOUT ROWID;

CREATE TABLE people (                  -- account key and verified device list of everybody met
  user BLOB PRIMARY KEY,
  value BLOB NOT NULL                  -- sealed
) WITHOUT ROWID;

CREATE TABLE sessions (                -- ratchets, one row per device of anybody
  device BLOB PRIMARY KEY,
  user BLOB NOT NULL,
  state BLOB NOT NULL                  -- sealed
) WITHOUT ROWID;

CREATE TABLE contacts (
  user BLOB PRIMARY KEY,
  value BLOB NOT NULL                  -- sealed
) WITHOUT ROWID;

CREATE TABLE conversations (
  conv BLOB PRIMARY KEY,
  peer BLOB NOT NULL,
  opened INTEGER NOT NULL DEFAULT 0,   -- whether the server knows its members
  delivered BLOB,                      -- this account's own watermarks
  read BLOB,
  moved_ms INTEGER NOT NULL DEFAULT 0  -- when they last moved
) WITHOUT ROWID;

CREATE TABLE marks (                   -- watermarks as the server reports them
  conv BLOB NOT NULL,
  user BLOB NOT NULL,
  delivered BLOB,
  read BLOB,
  PRIMARY KEY (conv, user)
) WITHOUT ROWID;

CREATE TABLE messages (
  seq INTEGER PRIMARY KEY,
  conv BLOB NOT NULL,
  peer BLOB NOT NULL,
  id BLOB,                             -- NULL until the server gave one
  cid BLOB NOT NULL,
  sender BLOB NOT NULL,
  device BLOB NOT NULL,
  mine INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  state INTEGER NOT NULL,              -- DeliveryState FAILED, QUEUED or SENT; ticks follow from the watermarks
  number INTEGER,                      -- the sender device's own count in this conversation
  content BLOB,                        -- sealed; NULL when it could not be decrypted
  reason TEXT NOT NULL DEFAULT '',
  asked INTEGER NOT NULL DEFAULT 0,    -- how often the sender was asked for it again
  UNIQUE (device, cid)
);
CREATE UNIQUE INDEX messages_by_id ON messages (conv, id) WHERE id IS NOT NULL;
CREATE INDEX messages_unread ON messages (device) WHERE content IS NULL;

CREATE TABLE outbox (                  -- what the server has not accepted yet, in order
  seq INTEGER PRIMARY KEY,
  cid BLOB NOT NULL UNIQUE,
  conv BLOB NOT NULL,
  peer BLOB NOT NULL,
  kind INTEGER NOT NULL,
  renew BLOB,                          -- a device with which it must start a new session
  content BLOB NOT NULL,               -- sealed
  key BLOB,                            -- sealed; of the body in `frame`
  frame BLOB,                          -- the exact SEND, once encrypted
  after BLOB NOT NULL                  -- the newest message id this device had seen when it was encrypted
);

CREATE TABLE seen (                    -- control messages that were handled
  device BLOB NOT NULL,
  cid BLOB NOT NULL,
  id BLOB NOT NULL,
  PRIMARY KEY (device, cid)
) WITHOUT ROWID;

CREATE TABLE asks (                    -- when a device was last asked to send something again
  device BLOB PRIMARY KEY,
  at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE resent (                  -- how often a message was sent again to a device
  device BLOB NOT NULL,
  cid BLOB NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (device, cid)
) WITHOUT ROWID;
