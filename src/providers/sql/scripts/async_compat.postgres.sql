-- The session database of sessionbench's sql_async on PostgreSQL, with
-- `repositoryType: FrameworkCompat`.
--
-- Names of the functions, columns and rules are those that aspnet_regsql installs on SQL Server for
-- ASP.NET's own SQLServer mode, as far as Microsoft's asynchronous provider calls them; parameters are
-- named as the provider names them, and the bodies are ours. An item of up to 7000 bytes lies in a
-- column of its own, and which function writes is the client's choice. Parameters are named as columns
-- are, so each such one is written with its function's name.

CREATE TABLE "ASPStateTempSessions" (
    "SessionId" varchar(88) PRIMARY KEY,
    "Created" timestamptz NOT NULL DEFAULT clock_timestamp(),
    "Expires" timestamptz NOT NULL,
    "LockDate" timestamptz NOT NULL,
    "LockDateLocal" timestamp NOT NULL,
    "LockCookie" integer NOT NULL,
    "Timeout" integer NOT NULL,
    "Locked" boolean NOT NULL,
    "SessionItemShort" bytea CHECK (octet_length("SessionItemShort") <= 7000),
    "SessionItemLong" bytea,
    "Flags" integer NOT NULL DEFAULT 0
);

CREATE INDEX "Index_Expires" ON "ASPStateTempSessions" ("Expires");

-- Ids of web applications in SQLServer mode; the asynchronous provider has its own.
CREATE TABLE "ASPStateTempApplications" (
    "AppId" integer PRIMARY KEY,
    "AppName" char(280) NOT NULL
);

-- The long item comes first: on SQL Server it is a row, and rows come before output parameters. An age
-- counts the seconds that began since, as DATEDIFF does.
CREATE FUNCTION "TempGetStateItemExclusive3" (
    IN "id" varchar(88),
    OUT "SessionItemLong" bytea,
    OUT "ItemShort" bytea,
    OUT "Locked" boolean,
    OUT "LockAge" integer,
    OUT "LockCookie" integer,
    OUT "ActionFlags" integer
)
LANGUAGE plpgsql AS $$
DECLARE
    found_session "ASPStateTempSessions";
    asked timestamptz;
BEGIN
    SELECT * INTO found_session FROM "ASPStateTempSessions" AS s
        WHERE s."SessionId" = "id" FOR UPDATE;
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
        UPDATE "ASPStateTempSessions" AS s
            SET "Expires" = asked + s."Timeout" * interval '1 minute',
                "Flags" = s."Flags" & ~1
            WHERE s."SessionId" = "id";
        RETURN;
    END IF;
    "LockAge" := 0;
    "LockCookie" := found_session."LockCookie" + 1;
    "ItemShort" := found_session."SessionItemShort";
    "SessionItemLong" := found_session."SessionItemLong";
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = asked + s."Timeout" * interval '1 minute',
            "LockDate" = asked,
            "LockDateLocal" = asked::timestamp,
            "LockCookie" = s."LockCookie" + 1,
            "Locked" = true,
            "Flags" = s."Flags" & ~1
        WHERE s."SessionId" = "id";
END
$$;

CREATE FUNCTION "TempGetStateItem3" (
    IN "id" varchar(88),
    OUT "SessionItemLong" bytea,
    OUT "ItemShort" bytea,
    OUT "Locked" boolean,
    OUT "LockAge" integer,
    OUT "LockCookie" integer,
    OUT "ActionFlags" integer
)
LANGUAGE plpgsql AS $$
DECLARE
    found_session "ASPStateTempSessions";
    asked timestamptz;
BEGIN
    SELECT * INTO found_session FROM "ASPStateTempSessions" AS s
        WHERE s."SessionId" = "id" FOR UPDATE;
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
        "ItemShort" := found_session."SessionItemShort";
        "SessionItemLong" := found_session."SessionItemLong";
    END IF;
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = asked + s."Timeout" * interval '1 minute',
            "Flags" = s."Flags" & ~1
        WHERE s."SessionId" = "id";
END
$$;

CREATE FUNCTION "TempInsertStateItemShort" (IN "id" varchar(88), IN "ItemShort" bytea, IN "Timeout" integer)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO "ASPStateTempSessions"
        ("SessionId", "SessionItemShort", "Timeout", "Expires", "Locked", "LockDate", "LockDateLocal",
         "LockCookie")
        SELECT "id", "ItemShort", "TempInsertStateItemShort"."Timeout",
            n.asked + "TempInsertStateItemShort"."Timeout" * interval '1 minute',
            false, n.asked, n.asked::timestamp, 1
        FROM (SELECT clock_timestamp() AS asked) AS n;
$$;

CREATE FUNCTION "TempInsertStateItemLong" (IN "id" varchar(88), IN "ItemLong" bytea, IN "Timeout" integer)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO "ASPStateTempSessions"
        ("SessionId", "SessionItemLong", "Timeout", "Expires", "Locked", "LockDate", "LockDateLocal",
         "LockCookie")
        SELECT "id", "ItemLong", "TempInsertStateItemLong"."Timeout",
            n.asked + "TempInsertStateItemLong"."Timeout" * interval '1 minute',
            false, n.asked, n.asked::timestamp, 1
        FROM (SELECT clock_timestamp() AS asked) AS n;
$$;

CREATE FUNCTION "TempInsertUninitializedItem" (IN "id" varchar(88), IN "ItemShort" bytea, IN "Timeout" integer)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO "ASPStateTempSessions"
        ("SessionId", "SessionItemShort", "Timeout", "Expires", "Locked", "LockDate", "LockDateLocal",
         "LockCookie", "Flags")
        SELECT "id", "ItemShort", "TempInsertUninitializedItem"."Timeout",
            n.asked + "TempInsertUninitializedItem"."Timeout" * interval '1 minute',
            false, n.asked, n.asked::timestamp, 1, 1
        FROM (SELECT clock_timestamp() AS asked) AS n;
$$;

CREATE FUNCTION "TempUpdateStateItemShort" (
    IN "id" varchar(88),
    IN "ItemShort" bytea,
    IN "Timeout" integer,
    IN "LockCookie" integer
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = clock_timestamp() + "TempUpdateStateItemShort"."Timeout" * interval '1 minute',
            "SessionItemShort" = "ItemShort",
            "Timeout" = "TempUpdateStateItemShort"."Timeout",
            "Locked" = false
        WHERE s."SessionId" = "id" AND s."LockCookie" = "TempUpdateStateItemShort"."LockCookie";
$$;

CREATE FUNCTION "TempUpdateStateItemShortNullLong" (
    IN "id" varchar(88),
    IN "ItemShort" bytea,
    IN "Timeout" integer,
    IN "LockCookie" integer
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = clock_timestamp() + "TempUpdateStateItemShortNullLong"."Timeout" * interval '1 minute',
            "SessionItemShort" = "ItemShort",
            "SessionItemLong" = NULL,
            "Timeout" = "TempUpdateStateItemShortNullLong"."Timeout",
            "Locked" = false
        WHERE s."SessionId" = "id" AND s."LockCookie" = "TempUpdateStateItemShortNullLong"."LockCookie";
$$;

CREATE FUNCTION "TempUpdateStateItemLong" (
    IN "id" varchar(88),
    IN "ItemLong" bytea,
    IN "Timeout" integer,
    IN "LockCookie" integer
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = clock_timestamp() + "TempUpdateStateItemLong"."Timeout" * interval '1 minute',
            "SessionItemLong" = "ItemLong",
            "Timeout" = "TempUpdateStateItemLong"."Timeout",
            "Locked" = false
        WHERE s."SessionId" = "id" AND s."LockCookie" = "TempUpdateStateItemLong"."LockCookie";
$$;

CREATE FUNCTION "TempUpdateStateItemLongNullShort" (
    IN "id" varchar(88),
    IN "ItemLong" bytea,
    IN "Timeout" integer,
    IN "LockCookie" integer
)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = clock_timestamp() + "TempUpdateStateItemLongNullShort"."Timeout" * interval '1 minute',
            "SessionItemLong" = "ItemLong",
            "SessionItemShort" = NULL,
            "Timeout" = "TempUpdateStateItemLongNullShort"."Timeout",
            "Locked" = false
        WHERE s."SessionId" = "id" AND s."LockCookie" = "TempUpdateStateItemLongNullShort"."LockCookie";
$$;

CREATE FUNCTION "TempReleaseStateItemExclusive" (IN "id" varchar(88), IN "LockCookie" integer)
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute',
            "Locked" = false
        WHERE s."SessionId" = "id"
            AND s."LockCookie" = "TempReleaseStateItemExclusive"."LockCookie";
$$;

CREATE FUNCTION "TempRemoveStateItem" (IN "id" varchar(88), IN "LockCookie" integer)
RETURNS void
LANGUAGE sql AS $$
    DELETE FROM "ASPStateTempSessions" AS s
        WHERE s."SessionId" = "id" AND s."LockCookie" = "TempRemoveStateItem"."LockCookie";
$$;

CREATE FUNCTION "TempResetTimeout" (IN "id" varchar(88))
RETURNS void
LANGUAGE sql AS $$
    UPDATE "ASPStateTempSessions" AS s
        SET "Expires" = clock_timestamp() + s."Timeout" * interval '1 minute'
        WHERE s."SessionId" = "id";
$$;

-- The genuine one deletes row by row, each in a transaction of its own; a function is one
-- transaction, so it passes over rows that somebody else has locked instead of waiting for them.
CREATE FUNCTION "DeleteExpiredSessions" ()
RETURNS void
LANGUAGE sql AS $$
    DELETE FROM "ASPStateTempSessions" AS s
        WHERE s."SessionId" IN (
            SELECT e."SessionId" FROM "ASPStateTempSessions" AS e
            WHERE e."Expires" < clock_timestamp()
            FOR UPDATE SKIP LOCKED
        );
$$;

COMMENT ON TABLE "ASPStateTempSessions" IS 'made by sessionbench';
COMMENT ON TABLE "ASPStateTempApplications" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempGetStateItemExclusive3" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempGetStateItem3" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempInsertStateItemShort" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempInsertStateItemLong" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempInsertUninitializedItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempUpdateStateItemShort" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempUpdateStateItemShortNullLong" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempUpdateStateItemLong" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempUpdateStateItemLongNullShort" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempReleaseStateItemExclusive" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempRemoveStateItem" IS 'made by sessionbench';
COMMENT ON FUNCTION "TempResetTimeout" IS 'made by sessionbench';
COMMENT ON FUNCTION "DeleteExpiredSessions" IS 'made by sessionbench';
