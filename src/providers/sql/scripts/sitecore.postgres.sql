-- The session database of sessionbench's sql_sitecore on PostgreSQL.
--
-- Names and parameters of the functions are those of Sitecore's procedures; tables, bodies and the
-- order in which expired sessions are claimed are ours, for the genuine ones are not public.
-- An output parameter "returnValue" stands for a procedure's return value.

CREATE TABLE "Application" (
    "Id" uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "Name" varchar(280) NOT NULL UNIQUE
);

CREATE TABLE "SessionState" (
    "Application" uuid NOT NULL,
    "Id" varchar(88) NOT NULL,
    "Created" timestamptz NOT NULL DEFAULT clock_timestamp(),
    "Expires" timestamptz NOT NULL,
    "Locked" boolean NOT NULL DEFAULT false,
    "LockTimestamp" timestamptz,
    "LockCookie" varchar(32),
    "Timeout" integer NOT NULL,
    "Flags" integer NOT NULL DEFAULT 0,
    "Item" bytea,
    PRIMARY KEY ("Application", "Id")
);

CREATE INDEX "SessionState_Expires" ON "SessionState" ("Application", "Expires");

CREATE FUNCTION "GetApplicationId" (IN "name" varchar(280), OUT "id" uuid)
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO "Application" ("Name") VALUES ("name") ON CONFLICT ("Name") DO NOTHING;
    SELECT a."Id" INTO "id" FROM "Application" AS a WHERE a."Name" = "name";
END
$$;

CREATE FUNCTION "GetItem" (
    IN "application" uuid,
    IN "id" varchar(88),
    OUT "locked" boolean,
    OUT "lockTimestamp" timestamptz,
    OUT "lockCookie" varchar(32),
    OUT "flags" integer,
    OUT "item" bytea,
    OUT "returnValue" integer
)
LANGUAGE plpgsql AS $$
DECLARE
    found_session "SessionState";
BEGIN
    "returnValue" := 0;
    SELECT * INTO found_session FROM "SessionState" AS s
        WHERE s."Application" = "application" AND s."Id" = "id" FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    "returnValue" := 1;
    "locked" := found_session."Locked";
    IF "locked" THEN
        "flags" := 0;
        "lockTimestamp" := found_session."LockTimestamp";
        "lockCookie" := found_session."LockCookie";
    ELSE
        "flags" := found_session."Flags";
        "item" := found_session."Item";
    END IF;
    UPDATE "SessionState" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute',
            "Flags" = CASE WHEN s."Locked" THEN s."Flags" ELSE 0 END
        WHERE s."Application" = "application" AND s."Id" = "id";
END
$$;

CREATE FUNCTION "GetItemExclusive" (
    IN "application" uuid,
    IN "id" varchar(88),
    OUT "locked" boolean,
    OUT "lockTimestamp" timestamptz,
    INOUT "lockCookie" varchar(32),
    OUT "flags" integer,
    OUT "item" bytea,
    OUT "returnValue" integer
)
LANGUAGE plpgsql AS $$
DECLARE
    found_session "SessionState";
BEGIN
    "returnValue" := 0;
    SELECT * INTO found_session FROM "SessionState" AS s
        WHERE s."Application" = "application" AND s."Id" = "id" FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    "returnValue" := 1;
    "locked" := found_session."Locked";
    IF "locked" THEN
        "flags" := 0;
        "lockTimestamp" := found_session."LockTimestamp";
        "lockCookie" := found_session."LockCookie";
        UPDATE "SessionState" AS s
            SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute'
            WHERE s."Application" = "application" AND s."Id" = "id";
        RETURN;
    END IF;
    "flags" := found_session."Flags";
    "item" := found_session."Item";
    "lockTimestamp" := clock_timestamp();
    UPDATE "SessionState" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute',
            "Locked" = true,
            "LockTimestamp" = "lockTimestamp",
            "LockCookie" = "lockCookie",
            "Flags" = 0
        WHERE s."Application" = "application" AND s."Id" = "id";
END
$$;

CREATE FUNCTION "SetAndReleaseItem" (
    IN "application" uuid,
    IN "id" varchar(88),
    IN "lockCookie" varchar(32),
    IN "flags" integer,
    IN "timeout" integer,
    IN "item" bytea
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "SessionState" AS s
        SET "Expires" = clock_timestamp() + "timeout" * interval '1 minute',
            "Locked" = false,
            "LockTimestamp" = NULL,
            "LockCookie" = NULL,
            "Timeout" = "timeout",
            "Flags" = "flags",
            "Item" = "item"
        WHERE s."Application" = "application" AND s."Id" = "id" AND s."LockCookie" = "lockCookie";
$$;

CREATE FUNCTION "ReleaseItem" (
    IN "application" uuid,
    IN "id" varchar(88),
    IN "lockCookie" varchar(32)
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "SessionState" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute',
            "Locked" = false,
            "LockTimestamp" = NULL,
            "LockCookie" = NULL
        WHERE s."Application" = "application" AND s."Id" = "id" AND s."LockCookie" = "lockCookie";
$$;

CREATE FUNCTION "RemoveItem" (
    IN "application" uuid,
    IN "id" varchar(88),
    IN "lockCookie" varchar(32)
)
RETURNS void
LANGUAGE sql AS $$
    DELETE FROM "SessionState" AS s
        WHERE s."Application" = "application" AND s."Id" = "id" AND s."LockCookie" = "lockCookie";
$$;

CREATE FUNCTION "InsertItem" (
    IN "application" uuid,
    IN "id" varchar(88),
    IN "item" bytea,
    IN "timeout" integer,
    IN "flags" integer
)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO "SessionState" ("Application", "Id", "Expires", "Timeout", "Flags", "Item")
        VALUES ("application", "id", clock_timestamp() + "timeout" * interval '1 minute', "timeout", "flags", "item");
$$;

CREATE FUNCTION "ResetItemTimeout" (IN "application" uuid, IN "id" varchar(88))
RETURNS void
LANGUAGE sql AS $$
    UPDATE "SessionState" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute'
        WHERE s."Application" = "application" AND s."Id" = "id";
$$;

CREATE FUNCTION "GetExpiredItemExclusive" (
    IN "application" uuid,
    OUT "id" varchar(88),
    IN "lockTimestamp" timestamptz,
    IN "lockCookie" varchar(32),
    OUT "item" bytea,
    OUT "returnValue" integer
)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT s."Id", s."Item" INTO "id", "item" FROM "SessionState" AS s
        WHERE s."Application" = "application" AND NOT s."Locked" AND s."Expires" <= "lockTimestamp"
        ORDER BY s."Expires" LIMIT 1
        FOR UPDATE SKIP LOCKED;
    "returnValue" := CASE WHEN FOUND THEN 1 ELSE 0 END;
    UPDATE "SessionState" AS s
        SET "Locked" = true, "LockTimestamp" = "lockTimestamp", "LockCookie" = "lockCookie"
        WHERE s."Application" = "application" AND s."Id" = "id";
END
$$;

COMMENT ON TABLE "Application" IS 'made by sessionbench';
COMMENT ON TABLE "SessionState" IS 'made by sessionbench';
COMMENT ON FUNCTION "GetApplicationId" IS 'made by sessionbench';
COMMENT ON FUNCTION "GetItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "GetItemExclusive" IS 'made by sessionbench';
COMMENT ON FUNCTION "SetAndReleaseItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "ReleaseItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "RemoveItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "InsertItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "ResetItemTimeout" IS 'made by sessionbench';
COMMENT ON FUNCTION "GetExpiredItemExclusive" IS 'made by sessionbench';
