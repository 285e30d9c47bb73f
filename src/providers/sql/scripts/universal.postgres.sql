-- The session database of sessionbench's sql_universal on PostgreSQL.
--
-- The table is the one that Microsoft's Universal Providers have Entity Framework create; there are no
-- procedures.

CREATE TABLE "Sessions" (
    "SessionId" varchar(88) PRIMARY KEY,
    "Created" timestamptz NOT NULL,
    "Expires" timestamptz NOT NULL,
    "LockDate" timestamptz NOT NULL,
    "LockCookie" integer NOT NULL,
    "Locked" boolean NOT NULL,
    "SessionItem" bytea,
    "Flags" integer NOT NULL,
    "Timeout" integer NOT NULL
);

CREATE INDEX "IX_Sessions_Expires" ON "Sessions" ("Expires");

COMMENT ON TABLE "Sessions" IS 'made by sessionbench';
