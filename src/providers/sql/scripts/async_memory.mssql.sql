-- The session database of sessionbench's sql_async on SQL Server and Azure SQL, with
-- `repositoryType: InMemory`; `InMemoryDurable` keeps the data too.
--
-- Names, columns, parameters and rules are those that Microsoft's provider creates itself, but for the
-- endings of the names, which the harness appends; the bodies are ours. The database needs a filegroup
-- for memory-optimised data, which Azure SQL has in its Premium and Business Critical tiers.
--
-- Nothing waits in here: of two transactions that write one row the later fails (41302), and the
-- provider tries it again.

CREATE TABLE [dbo].[ASPNetSessionState] (
    [SessionId] nvarchar(88) COLLATE Latin1_General_100_BIN2 NOT NULL
        PRIMARY KEY NONCLUSTERED HASH WITH (BUCKET_COUNT = 33554432),
    [Created] datetime NOT NULL DEFAULT GETUTCDATE(),
    [Expires] datetime NOT NULL INDEX [Index_Expires] NONCLUSTERED,
    [LockDate] datetime NOT NULL,
    [LockDateLocal] datetime NOT NULL,
    [LockCookie] int NOT NULL,
    [Timeout] int NOT NULL,
    [Locked] bit NOT NULL,
    [SessionItemLong] varbinary(max) NULL,
    [Flags] int NOT NULL DEFAULT 0
) WITH (MEMORY_OPTIMIZED = ON, DURABILITY = SCHEMA_ONLY);
GO

-- Native code of SQL Server 2016 knows no CASE, so the row is read first; that nobody changed it
-- meanwhile is what SNAPSHOT checks.
CREATE PROCEDURE [dbo].[GetStateItemExclusive]
    @SessionId nvarchar(88),
    @Locked bit OUTPUT,
    @LockAge int OUTPUT,
    @LockCookie int OUTPUT,
    @ActionFlags int OUTPUT
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    DECLARE @item varbinary(max);
    DECLARE @lockDate datetime;
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    SELECT @Locked = [Locked], @LockCookie = [LockCookie], @ActionFlags = [Flags] & 1,
            @lockDate = [LockDate], @item = [SessionItemLong]
        FROM [dbo].[ASPNetSessionState] WHERE [SessionId] = @SessionId;
    IF @Locked = 1
    BEGIN
        SET @LockAge = DATEDIFF(SECOND, @lockDate, @now);
        UPDATE [dbo].[ASPNetSessionState]
            SET [Flags] = [Flags] & ~1,
                [Expires] = DATEADD(MINUTE, [Timeout], @now)
            WHERE [SessionId] = @SessionId;
    END;
    IF @Locked = 0
    BEGIN
        SET @LockAge = 0;
        SET @LockCookie = @LockCookie + 1;
        UPDATE [dbo].[ASPNetSessionState]
            SET [LockDate] = @now,
                [LockDateLocal] = GETDATE(),
                [LockCookie] = @LockCookie,
                [Flags] = [Flags] & ~1,
                [Locked] = 1,
                [Expires] = DATEADD(MINUTE, [Timeout], @now)
            WHERE [SessionId] = @SessionId;
        SELECT @item AS [SessionItemLong];
    END;
END
GO

CREATE PROCEDURE [dbo].[GetStateItem]
    @SessionId nvarchar(88),
    @Locked bit OUTPUT,
    @LockAge int OUTPUT,
    @LockCookie int OUTPUT,
    @ActionFlags int OUTPUT
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    DECLARE @item varbinary(max);
    DECLARE @lockDate datetime;
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    SELECT @Locked = [Locked], @LockCookie = [LockCookie], @ActionFlags = [Flags] & 1,
            @lockDate = [LockDate], @item = [SessionItemLong]
        FROM [dbo].[ASPNetSessionState] WHERE [SessionId] = @SessionId;
    SET @LockAge = DATEDIFF(SECOND, @lockDate, @now);
    UPDATE [dbo].[ASPNetSessionState]
        SET [Flags] = [Flags] & ~1,
            [Expires] = DATEADD(MINUTE, [Timeout], @now)
        WHERE [SessionId] = @SessionId;
    IF @Locked = 0
        SELECT @item AS [SessionItemLong];
END
GO

CREATE PROCEDURE [dbo].[InsertStateItem]
    @SessionId nvarchar(88),
    @Timeout int,
    @SessionItemLong varbinary(max)
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    INSERT INTO [dbo].[ASPNetSessionState] (
            [SessionId], [SessionItemLong], [Timeout], [Expires], [Locked], [LockDate],
            [LockDateLocal], [LockCookie]
        )
        VALUES (
            @SessionId, @SessionItemLong, @Timeout, DATEADD(MINUTE, @Timeout, @now), 0, @now,
            GETDATE(), 1
        );
END
GO

CREATE PROCEDURE [dbo].[InsertUninitializedItem]
    @SessionId nvarchar(88),
    @Timeout int,
    @SessionItemLong varbinary(max)
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    INSERT INTO [dbo].[ASPNetSessionState] (
            [SessionId], [SessionItemLong], [Timeout], [Expires], [Locked], [LockDate],
            [LockDateLocal], [LockCookie], [Flags]
        )
        VALUES (
            @SessionId, @SessionItemLong, @Timeout, DATEADD(MINUTE, @Timeout, @now), 0, @now,
            GETDATE(), 1, 1
        );
END
GO

CREATE PROCEDURE [dbo].[UpdateStateItem]
    @SessionId nvarchar(88),
    @LockCookie int,
    @Timeout int,
    @SessionItemLong varbinary(max)
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    UPDATE [dbo].[ASPNetSessionState]
        SET [Expires] = DATEADD(MINUTE, @Timeout, GETUTCDATE()),
            [SessionItemLong] = @SessionItemLong,
            [Timeout] = @Timeout,
            [Locked] = 0
        WHERE [SessionId] = @SessionId AND [LockCookie] = @LockCookie;
END
GO

CREATE PROCEDURE [dbo].[ReleaseItemExclusive]
    @SessionId nvarchar(88),
    @LockCookie int
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    UPDATE [dbo].[ASPNetSessionState]
        SET [Expires] = DATEADD(MINUTE, [Timeout], GETUTCDATE()),
            [Locked] = 0
        WHERE [SessionId] = @SessionId AND [LockCookie] = @LockCookie;
END
GO

CREATE PROCEDURE [dbo].[RemoveStateItem]
    @SessionId nvarchar(88),
    @LockCookie int
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    DELETE FROM [dbo].[ASPNetSessionState]
        WHERE [SessionId] = @SessionId AND [LockCookie] = @LockCookie;
END
GO

CREATE PROCEDURE [dbo].[ResetItemTimeout]
    @SessionId nvarchar(88)
WITH NATIVE_COMPILATION, SCHEMABINDING
AS
BEGIN ATOMIC WITH (TRANSACTION ISOLATION LEVEL = SNAPSHOT, LANGUAGE = N'us_english')
    UPDATE [dbo].[ASPNetSessionState]
        SET [Expires] = DATEADD(MINUTE, [Timeout], GETUTCDATE())
        WHERE [SessionId] = @SessionId;
END
GO

-- Row by row, so that no session waits for more than its own deletion.
CREATE PROCEDURE [dbo].[DeleteExpiredSessionState]
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @now datetime;
    DECLARE @id nvarchar(88);
    DECLARE @expired TABLE ([SessionId] nvarchar(88) NOT NULL PRIMARY KEY);
    SET DEADLOCK_PRIORITY LOW;
    SET @now = GETUTCDATE();
    INSERT INTO @expired ([SessionId])
        SELECT [SessionId] FROM [dbo].[ASPNetSessionState]
        WHERE [Expires] < @now;
    SELECT @id = MIN([SessionId]) FROM @expired;
    WHILE @id IS NOT NULL
    BEGIN
        DELETE FROM [dbo].[ASPNetSessionState] WHERE [SessionId] = @id AND [Expires] < @now;
        SELECT @id = MIN([SessionId]) FROM @expired WHERE [SessionId] > @id;
    END
END
GO

EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'TABLE', N'ASPNetSessionState';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'GetStateItemExclusive';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'GetStateItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'InsertStateItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'InsertUninitializedItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'UpdateStateItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'ReleaseItemExclusive';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'RemoveStateItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'ResetItemTimeout';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'DeleteExpiredSessionState';
GO
