-- The session database of sessionbench's sql_async on SQL Server and Azure SQL, with
-- `repositoryType: FrameworkCompat`.
--
-- Names, columns, parameters and rules are those that aspnet_regsql installs for ASP.NET's own
-- SQLServer mode, as far as Microsoft's asynchronous provider calls them; the bodies are ours. An item
-- of up to 7000 bytes lies in a column of its own, and which procedure writes is the client's choice.

CREATE TABLE [dbo].[ASPStateTempSessions] (
    [SessionId] nvarchar(88) NOT NULL PRIMARY KEY,
    [Created] datetime NOT NULL DEFAULT GETUTCDATE(),
    [Expires] datetime NOT NULL,
    [LockDate] datetime NOT NULL,
    [LockDateLocal] datetime NOT NULL,
    [LockCookie] int NOT NULL,
    [Timeout] int NOT NULL,
    [Locked] bit NOT NULL,
    [SessionItemShort] varbinary(7000) NULL,
    [SessionItemLong] image NULL,
    [Flags] int NOT NULL DEFAULT 0
);
GO

CREATE INDEX [Index_Expires] ON [dbo].[ASPStateTempSessions] ([Expires]);
GO

-- Ids of web applications in SQLServer mode; the asynchronous provider has its own.
CREATE TABLE [dbo].[ASPStateTempApplications] (
    [AppId] int NOT NULL PRIMARY KEY,
    [AppName] char(280) NOT NULL
);
GO

-- The first UPDATE keeps the session alive and holds its row until COMMIT, so that nobody comes between
-- what is read and what is written, also on a server that knows no hints.
CREATE PROCEDURE [dbo].[TempGetStateItemExclusive3]
    @id nvarchar(88),
    @itemShort varbinary(7000) OUTPUT,
    @locked bit OUTPUT,
    @lockAge int OUTPUT,
    @lockCookie int OUTPUT,
    @actionFlags int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @itemLong varbinary(max);
    DECLARE @now datetime;
    DECLARE @nowLocal datetime;
    SET @now = GETUTCDATE();
    SET @nowLocal = GETDATE();
    BEGIN TRANSACTION;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, [Timeout], @now)
        WHERE [SessionId] = @id;
    SELECT @locked = [Locked],
            @lockAge = CASE WHEN [Locked] = 0 THEN 0 ELSE DATEDIFF(SECOND, [LockDate], @now) END,
            @lockCookie = CASE WHEN [Locked] = 0 THEN [LockCookie] + 1 ELSE [LockCookie] END,
            @actionFlags = [Flags] & 1,
            @itemShort = CASE WHEN [Locked] = 0 THEN [SessionItemShort] ELSE NULL END,
            @itemLong = CASE WHEN [Locked] = 0 THEN CAST([SessionItemLong] AS varbinary(max)) ELSE NULL END
        FROM [dbo].[ASPStateTempSessions]
        WHERE [SessionId] = @id;
    IF @locked = 0
        UPDATE [dbo].[ASPStateTempSessions]
            SET [LockDate] = @now,
                [LockDateLocal] = @nowLocal,
                [LockCookie] = @lockCookie,
                [Flags] = [Flags] & ~1,
                [Locked] = 1
            WHERE [SessionId] = @id;
    ELSE IF @actionFlags <> 0
        UPDATE [dbo].[ASPStateTempSessions]
            SET [Flags] = [Flags] & ~1
            WHERE [SessionId] = @id;
    COMMIT TRANSACTION;
    IF @itemLong IS NOT NULL
        SELECT @itemLong AS [SessionItemLong];
END
GO

CREATE PROCEDURE [dbo].[TempGetStateItem3]
    @id nvarchar(88),
    @itemShort varbinary(7000) OUTPUT,
    @locked bit OUTPUT,
    @lockAge int OUTPUT,
    @lockCookie int OUTPUT,
    @actionFlags int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @itemLong varbinary(max);
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    BEGIN TRANSACTION;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, [Timeout], @now)
        WHERE [SessionId] = @id;
    SELECT @locked = [Locked],
            @lockAge = DATEDIFF(SECOND, [LockDate], @now),
            @lockCookie = [LockCookie],
            @actionFlags = [Flags] & 1,
            @itemShort = CASE WHEN [Locked] = 0 THEN [SessionItemShort] ELSE NULL END,
            @itemLong = CASE WHEN [Locked] = 0 THEN CAST([SessionItemLong] AS varbinary(max)) ELSE NULL END
        FROM [dbo].[ASPStateTempSessions]
        WHERE [SessionId] = @id;
    IF @actionFlags <> 0
        UPDATE [dbo].[ASPStateTempSessions]
            SET [Flags] = [Flags] & ~1
            WHERE [SessionId] = @id;
    COMMIT TRANSACTION;
    IF @itemLong IS NOT NULL
        SELECT @itemLong AS [SessionItemLong];
END
GO

CREATE PROCEDURE [dbo].[TempInsertStateItemShort]
    @id nvarchar(88),
    @itemShort varbinary(7000),
    @timeout int
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    INSERT INTO [dbo].[ASPStateTempSessions] (
            [SessionId], [SessionItemShort], [Timeout], [Expires], [Locked], [LockDate],
            [LockDateLocal], [LockCookie]
        )
        VALUES (
            @id, @itemShort, @timeout, DATEADD(MINUTE, @timeout, @now), 0, @now,
            GETDATE(), 1
        );
END
GO

CREATE PROCEDURE [dbo].[TempInsertStateItemLong]
    @id nvarchar(88),
    @itemLong image,
    @timeout int
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    INSERT INTO [dbo].[ASPStateTempSessions] (
            [SessionId], [SessionItemLong], [Timeout], [Expires], [Locked], [LockDate],
            [LockDateLocal], [LockCookie]
        )
        VALUES (
            @id, @itemLong, @timeout, DATEADD(MINUTE, @timeout, @now), 0, @now,
            GETDATE(), 1
        );
END
GO

CREATE PROCEDURE [dbo].[TempInsertUninitializedItem]
    @id nvarchar(88),
    @itemShort varbinary(7000),
    @timeout int
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    INSERT INTO [dbo].[ASPStateTempSessions] (
            [SessionId], [SessionItemShort], [Timeout], [Expires], [Locked], [LockDate],
            [LockDateLocal], [LockCookie], [Flags]
        )
        VALUES (
            @id, @itemShort, @timeout, DATEADD(MINUTE, @timeout, @now), 0, @now,
            GETDATE(), 1, 1
        );
END
GO

CREATE PROCEDURE [dbo].[TempUpdateStateItemShort]
    @id nvarchar(88),
    @itemShort varbinary(7000),
    @timeout int,
    @lockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, @timeout, GETUTCDATE()),
            [SessionItemShort] = @itemShort,
            [Timeout] = @timeout,
            [Locked] = 0
        WHERE [SessionId] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[TempUpdateStateItemShortNullLong]
    @id nvarchar(88),
    @itemShort varbinary(7000),
    @timeout int,
    @lockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, @timeout, GETUTCDATE()),
            [SessionItemShort] = @itemShort,
            [SessionItemLong] = NULL,
            [Timeout] = @timeout,
            [Locked] = 0
        WHERE [SessionId] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[TempUpdateStateItemLong]
    @id nvarchar(88),
    @itemLong image,
    @timeout int,
    @lockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, @timeout, GETUTCDATE()),
            [SessionItemLong] = @itemLong,
            [Timeout] = @timeout,
            [Locked] = 0
        WHERE [SessionId] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[TempUpdateStateItemLongNullShort]
    @id nvarchar(88),
    @itemLong image,
    @timeout int,
    @lockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, @timeout, GETUTCDATE()),
            [SessionItemLong] = @itemLong,
            [SessionItemShort] = NULL,
            [Timeout] = @timeout,
            [Locked] = 0
        WHERE [SessionId] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[TempReleaseStateItemExclusive]
    @id nvarchar(88),
    @lockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, [Timeout], GETUTCDATE()),
            [Locked] = 0
        WHERE [SessionId] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[TempRemoveStateItem]
    @id nvarchar(88),
    @lockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    DELETE FROM [dbo].[ASPStateTempSessions]
        WHERE [SessionId] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[TempResetTimeout]
    @id nvarchar(88)
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPStateTempSessions]
        SET [Expires] = DATEADD(MINUTE, [Timeout], GETUTCDATE())
        WHERE [SessionId] = @id;
END
GO

-- Row by row, so that no session waits for more than its own deletion; a dirty read finds them.
CREATE PROCEDURE [dbo].[DeleteExpiredSessions]
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @now datetime;
    DECLARE @id nvarchar(88);
    DECLARE @expired TABLE ([SessionId] nvarchar(88) NOT NULL PRIMARY KEY);
    SET DEADLOCK_PRIORITY LOW;
    SET @now = GETUTCDATE();
    INSERT INTO @expired ([SessionId])
        SELECT [SessionId] FROM [dbo].[ASPStateTempSessions] WITH (READUNCOMMITTED)
        WHERE [Expires] < @now;
    SELECT @id = MIN([SessionId]) FROM @expired;
    WHILE @id IS NOT NULL
    BEGIN
        DELETE FROM [dbo].[ASPStateTempSessions] WHERE [SessionId] = @id AND [Expires] < @now;
        SELECT @id = MIN([SessionId]) FROM @expired WHERE [SessionId] > @id;
    END
END
GO

EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'TABLE', N'ASPStateTempSessions';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'TABLE', N'ASPStateTempApplications';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempGetStateItemExclusive3';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempGetStateItem3';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempInsertStateItemShort';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempInsertStateItemLong';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempInsertUninitializedItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempUpdateStateItemShort';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempUpdateStateItemShortNullLong';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempUpdateStateItemLong';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempUpdateStateItemLongNullShort';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempReleaseStateItemExclusive';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempRemoveStateItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'TempResetTimeout';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'DeleteExpiredSessions';
GO
