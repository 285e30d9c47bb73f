-- The session database of sessionbench's sql_async on PostgreSQL.
--
-- Names and parameters of the functions, columns and rules are those that Microsoft's provider creates
-- on SQL Server with `repositoryType="SqlServer"`; the bodies are ours. Parameters are named as columns
-- are, so each is written with its function's name.

CREATE TABLE "ASPNetSessionState" (
    "SessionId" varchar(88) PRIMARY KEY,
    "Created" timestamptz NOT NULL DEFAULT clock_timestamp(),
    "Expires" timestamptz NOT NULL,
    "LockDate" timestamptz NOT NULL,
    "LockDateLocal" timestamp NOT NULL,
    "LockCookie" integer NOT NULL,
    "Timeout" integer NOT NULL,
    "Locked" boolean NOT NULL,
    "SessionItemLong" bytea,
    "Flags" integer NOT NULL DEFAULT 0
);

CREATE INDEX "Index_Expires" ON "ASPNetSessionState" ("Expires");

-- An age counts the seconds that began since, as DATEDIFF does.
CREATE FUNCTION "GetStateItemExclusive" (
    IN "SessionId" varchar(88),
    OUT "Locked" boolean,
    OUT "LockAge" integer,
    OUT "LockCookie" integer,
    OUT "ActionFlags" integer,
    OUT "SessionItemLong" bytea
)
LANGUAGE plpgsql AS $$
DECLARE
    found_session "ASPNetSessionState";
    asked timestamptz;
BEGIN
    SELECT * INTO found_session FROM "ASPNetSessionState" AS s
        WHERE s."SessionId" = "GetStateItemExclusive"."SessionId" FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    asked := clock_timestamp();
    "Locked" := found_session."Locked";
    "ActionFlags" := found_session."Flags" & 1;
    IF found_session."Locked" THEN
        "LockCookie" := found_session."LockCookie";
        "LockAge" := extract(epoch FROM
            date_trunc('second', asked) - date_trunc('second', found_session."LockDate"));
        UPDATE "ASPNetSessionState" AS s
            SET "Expires" = asked + s."Timeout" * interval '1 minute',
                "Flags" = s."Flags" & ~1
            WHERE s."SessionId" = found_session."SessionId";
        RETURN;
    END IF;
    "LockAge" := 0;
    "LockCookie" := found_session."LockCookie" + 1;
    "SessionItemLong" := found_session."SessionItemLong";
    UPDATE "ASPNetSessionState" AS s
        SET "Expires" = asked + s."Timeout" * interval '1 minute',
            "LockDate" = asked,
            "LockDateLocal" = asked::timestamp,
            "LockCookie" = s."LockCookie" + 1,
            "Locked" = true,
            "Flags" = s."Flags" & ~1
        WHERE s."SessionId" = found_session."SessionId";
END
$$;

CREATE FUNCTION "GetStateItem" (
    IN "SessionId" varchar(88),
    OUT "Locked" boolean,
    OUT "LockAge" integer,
    OUT "LockCookie" integer,
    OUT "ActionFlags" integer,
    OUT "SessionItemLong" bytea
)
LANGUAGE plpgsql AS $$
DECLARE
    found_session "ASPNetSessionState";
    asked timestamptz;
BEGIN
    SELECT * INTO found_session FROM "ASPNetSessionState" AS s
        WHERE s."SessionId" = "GetStateItem"."SessionId" FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    asked := clock_timestamp();
    "Locked" := found_session."Locked";
    "LockAge" := extract(epoch FROM
        date_trunc('second', asked) - date_trunc('second', found_session."LockDate"));
    "LockCookie" := found_session."LockCookie";
    "ActionFlags" := found_session."Flags" & 1;
    IF NOT found_session."Locked" THEN
        "SessionItemLong" := found_session."SessionItemLong";
    END IF;
    UPDATE "ASPNetSessionState" AS s
        SET "Expires" = asked + s."Timeout" * interval '1 minute',
            "Flags" = s."Flags" & ~1
        WHERE s."SessionId" = found_session."SessionId";
END
$$;

CREATE FUNCTION "InsertStateItem" (
    IN "SessionId" varchar(88),
    IN "Timeout" integer,
    IN "SessionItemLong" bytea
)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO "ASPNetSessionState"
        ("SessionId", "SessionItemLong", "Timeout", "Expires", "Locked", "LockDate",
         "LockDateLocal", "LockCookie")
        SELECT "InsertStateItem"."SessionId", "InsertStateItem"."SessionItemLong",
            "InsertStateItem"."Timeout",
            n.asked + "InsertStateItem"."Timeout" * interval '1 minute',
            false, n.asked, n.asked::timestamp, 1
        FROM (SELECT clock_timestamp() AS asked) AS n;
$$;

CREATE FUNCTION "InsertUninitializedItem" (
    IN "SessionId" varchar(88),
    IN "Timeout" integer,
    IN "SessionItemLong" bytea
)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO "ASPNetSessionState"
        ("SessionId", "SessionItemLong", "Timeout", "Expires", "Locked", "LockDate",
         "LockDateLocal", "LockCookie", "Flags")
        SELECT "InsertUninitializedItem"."SessionId", "InsertUninitializedItem"."SessionItemLong",
            "InsertUninitializedItem"."Timeout",
            n.asked + "InsertUninitializedItem"."Timeout" * interval '1 minute',
            false, n.asked, n.asked::timestamp, 1, 1
        FROM (SELECT clock_timestamp() AS asked) AS n;
$$;

CREATE FUNCTION "UpdateStateItem" (
    IN "SessionId" varchar(88),
    IN "LockCookie" integer,
    IN "Timeout" integer,
    IN "SessionItemLong" bytea
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPNetSessionState" AS s
        SET "Expires" = clock_timestamp() + "UpdateStateItem"."Timeout" * interval '1 minute',
            "SessionItemLong" = "UpdateStateItem"."SessionItemLong",
            "Timeout" = "UpdateStateItem"."Timeout",
            "Locked" = false
        WHERE s."SessionId" = "UpdateStateItem"."SessionId"
            AND s."LockCookie" = "UpdateStateItem"."LockCookie";
$$;

CREATE FUNCTION "ReleaseItemExclusive" (IN "SessionId" varchar(88), IN "LockCookie" integer)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPNetSessionState" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute',
            "Locked" = false
        WHERE s."SessionId" = "ReleaseItemExclusive"."SessionId"
            AND s."LockCookie" = "ReleaseItemExclusive"."LockCookie";
$$;

CREATE FUNCTION "RemoveStateItem" (IN "SessionId" varchar(88), IN "LockCookie" integer)
RETURNS void
LANGUAGE sql AS $$
    DELETE FROM "ASPNetSessionState" AS s
        WHERE s."SessionId" = "RemoveStateItem"."SessionId"
            AND s."LockCookie" = "RemoveStateItem"."LockCookie";
$$;

CREATE FUNCTION "ResetItemTimeout" (IN "SessionId" varchar(88))
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPNetSessionState" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute'
        WHERE s."SessionId" = "ResetItemTimeout"."SessionId";
$$;

-- The genuine one deletes row by row, each in a transaction of its own; a function is one
-- transaction, so it passes over rows that somebody else has locked instead of waiting for them.
CREATE FUNCTION "DeleteExpiredSessionState" ()
RETURNS void
LANGUAGE sql AS $$
    DELETE FROM "ASPNetSessionState" AS s
        WHERE s."SessionId" IN (
            SELECT e."SessionId" FROM "ASPNetSessionState" AS e
            WHERE e."Expires" < clock_timestamp()
            FOR UPDATE SKIP LOCKED
        );
$$;

COMMENT ON TABLE "ASPNetSessionState" IS 'made by sessionbench';
COMMENT ON FUNCTION "GetStateItemExclusive" IS 'made by sessionbench';
COMMENT ON FUNCTION "GetStateItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "InsertStateItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "InsertUninitializedItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "UpdateStateItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "ReleaseItemExclusive" IS 'made by sessionbench';
COMMENT ON FUNCTION "RemoveStateItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "ResetItemTimeout" IS 'made by sessionbench';
COMMENT ON FUNCTION "DeleteExpiredSessionState" IS 'made by sessionbench';
