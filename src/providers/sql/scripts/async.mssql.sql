-- The session database of sessionbench's sql_async on SQL Server and Azure SQL.
--
-- Names, columns and parameters are those that Microsoft's provider creates itself with
-- `repositoryType="SqlServer"`, and so are the rules; the bodies are ours.

CREATE TABLE [dbo].[ASPNetSessionState] (
    [SessionId] nvarchar(88) NOT NULL PRIMARY KEY,
    [Created] datetime NOT NULL DEFAULT GETUTCDATE(),
    [Expires] datetime NOT NULL,
    [LockDate] datetime NOT NULL,
    [LockDateLocal] datetime NOT NULL,
    [LockCookie] int NOT NULL,
    [Timeout] int NOT NULL,
    [Locked] bit NOT NULL,
    [SessionItemLong] varbinary(max) NULL,
    [Flags] int NOT NULL DEFAULT 0
);
GO

CREATE INDEX [Index_Expires] ON [dbo].[ASPNetSessionState] ([Expires]);
GO

-- The first UPDATE keeps the session alive and holds its row until COMMIT, so that nobody comes between
-- what is read and what is written, also on a server that knows no hints.
CREATE PROCEDURE [dbo].[GetStateItemExclusive]
    @SessionId nvarchar(88),
    @Locked bit OUTPUT,
    @LockAge int OUTPUT,
    @LockCookie int OUTPUT,
    @ActionFlags int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @item varbinary(max);
    DECLARE @now datetime;
    DECLARE @nowLocal datetime;
    SET @now = GETUTCDATE();
    SET @nowLocal = GETDATE();
    BEGIN TRANSACTION;
    UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK, XLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], @now)
        WHERE [SessionId] = @SessionId;
    SELECT @Locked = [Locked],
            @LockAge = CASE WHEN [Locked] = 0 THEN 0 ELSE DATEDIFF(SECOND, [LockDate], @now) END,
            @LockCookie = CASE WHEN [Locked] = 0 THEN [LockCookie] + 1 ELSE [LockCookie] END,
            @ActionFlags = [Flags] & 1,
            @item = CASE WHEN [Locked] = 0 THEN [SessionItemLong] ELSE NULL END
        FROM [dbo].[ASPNetSessionState]
        WHERE [SessionId] = @SessionId;
    IF @Locked = 0
        UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK, XLOCK)
            SET [LockDate] = @now,
                [LockDateLocal] = @nowLocal,
                [LockCookie] = @LockCookie,
                [Flags] = [Flags] & ~1,
                [Locked] = 1
            WHERE [SessionId] = @SessionId;
    ELSE IF @ActionFlags <> 0
        UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK, XLOCK)
            SET [Flags] = [Flags] & ~1
            WHERE [SessionId] = @SessionId;
    COMMIT TRANSACTION;
    IF @item IS NOT NULL
        SELECT @item AS [SessionItemLong];
END
GO

CREATE PROCEDURE [dbo].[GetStateItem]
    @SessionId nvarchar(88),
    @Locked bit OUTPUT,
    @LockAge int OUTPUT,
    @LockCookie int OUTPUT,
    @ActionFlags int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @item varbinary(max);
    DECLARE @now datetime;
    SET @now = GETUTCDATE();
    BEGIN TRANSACTION;
    UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK, XLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], @now)
        WHERE [SessionId] = @SessionId;
    SELECT @Locked = [Locked],
            @LockAge = DATEDIFF(SECOND, [LockDate], @now),
            @LockCookie = [LockCookie],
            @ActionFlags = [Flags] & 1,
            @item = CASE WHEN [Locked] = 0 THEN [SessionItemLong] ELSE NULL END
        FROM [dbo].[ASPNetSessionState]
        WHERE [SessionId] = @SessionId;
    IF @ActionFlags <> 0
        UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK, XLOCK)
            SET [Flags] = [Flags] & ~1
            WHERE [SessionId] = @SessionId;
    COMMIT TRANSACTION;
    IF @item IS NOT NULL
        SELECT @item AS [SessionItemLong];
END
GO

CREATE PROCEDURE [dbo].[InsertStateItem]
    @SessionId nvarchar(88),
    @Timeout int,
    @SessionItemLong varbinary(max)
AS
BEGIN
    SET NOCOUNT ON;
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
AS
BEGIN
    SET NOCOUNT ON;
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
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK)
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
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPNetSessionState] WITH (ROWLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], GETUTCDATE()),
            [Locked] = 0
        WHERE [SessionId] = @SessionId AND [LockCookie] = @LockCookie;
END
GO

CREATE PROCEDURE [dbo].[RemoveStateItem]
    @SessionId nvarchar(88),
    @LockCookie int
AS
BEGIN
    SET NOCOUNT ON;
    DELETE FROM [dbo].[ASPNetSessionState]
        WHERE [SessionId] = @SessionId AND [LockCookie] = @LockCookie;
END
GO

CREATE PROCEDURE [dbo].[ResetItemTimeout]
    @SessionId nvarchar(88)
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[ASPNetSessionState]
        SET [Expires] = DATEADD(MINUTE, [Timeout], GETUTCDATE())
        WHERE [SessionId] = @SessionId;
END
GO

-- Row by row, so that no session waits for more than its own deletion; a dirty read finds them.
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
        SELECT [SessionId] FROM [dbo].[ASPNetSessionState] WITH (READUNCOMMITTED)
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
