-- The session database of sessionbench's sql_sitecore on SQL Server 2016 and later and Azure SQL.
--
-- Names and parameters of the procedures are those of Sitecore's; tables, bodies and the order in
-- which expired sessions are claimed are ours, for the genuine ones are not public. Deadlines are
-- datetime2, since datetime rounds to a 300th of a second, which would end sessions too early.

CREATE TABLE [dbo].[Application] (
    [Id] uniqueidentifier NOT NULL PRIMARY KEY DEFAULT NEWID(),
    [Name] nvarchar(280) NOT NULL UNIQUE
);
GO

CREATE TABLE [dbo].[SessionState] (
    [Application] uniqueidentifier NOT NULL,
    [Id] nvarchar(88) NOT NULL,
    [Created] datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(),
    [Expires] datetime2(3) NOT NULL,
    [Locked] bit NOT NULL DEFAULT 0,
    [LockTimestamp] datetime NULL,
    [LockCookie] varchar(32) NULL,
    [Timeout] int NOT NULL,
    [Flags] int NOT NULL DEFAULT 0,
    [Item] varbinary(max) NULL,
    PRIMARY KEY CLUSTERED ([Application], [Id])
);
GO

CREATE INDEX [SessionState_Expires] ON [dbo].[SessionState] ([Application], [Expires]);
GO

CREATE PROCEDURE [dbo].[GetApplicationId]
    @name nvarchar(280),
    @id uniqueidentifier OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SELECT @id = [Id] FROM [dbo].[Application] WHERE [Name] = @name;
    IF @id IS NOT NULL
        RETURN 0;
    BEGIN TRY
        INSERT INTO [dbo].[Application] ([Name]) VALUES (@name);
    END TRY
    BEGIN CATCH
        -- Somebody else registered it meanwhile.
        IF ERROR_NUMBER() NOT IN (2601, 2627)
            THROW;
    END CATCH
    SELECT @id = [Id] FROM [dbo].[Application] WHERE [Name] = @name;
END
GO

-- The first UPDATE keeps the session alive and holds its row until COMMIT, so that nobody comes between
-- what is read and what is written, also on a server that knows no hints.
CREATE PROCEDURE [dbo].[GetItem]
    @application uniqueidentifier,
    @id nvarchar(88),
    @locked bit OUTPUT,
    @lockTimestamp datetime OUTPUT,
    @lockCookie varchar(32) OUTPUT,
    @flags int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @item varbinary(max);
    BEGIN TRANSACTION;
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], SYSUTCDATETIME())
        WHERE [Application] = @application AND [Id] = @id;
    IF @@ROWCOUNT = 0
    BEGIN
        COMMIT TRANSACTION;
        RETURN 0;
    END;
    SELECT @locked = [Locked],
            @lockTimestamp = [LockTimestamp],
            @lockCookie = [LockCookie],
            @flags = CASE WHEN [Locked] = 0 THEN [Flags] ELSE 0 END,
            @item = CASE WHEN [Locked] = 0 THEN [Item] ELSE NULL END
        FROM [dbo].[SessionState]
        WHERE [Application] = @application AND [Id] = @id;
    IF @flags <> 0
        UPDATE [dbo].[SessionState] WITH (ROWLOCK)
            SET [Flags] = 0
            WHERE [Application] = @application AND [Id] = @id;
    COMMIT TRANSACTION;
    SELECT @item AS [Item];
    RETURN 1;
END
GO

CREATE PROCEDURE [dbo].[GetItemExclusive]
    @application uniqueidentifier,
    @id nvarchar(88),
    @locked bit OUTPUT,
    @lockTimestamp datetime OUTPUT,
    @lockCookie varchar(32) OUTPUT,
    @flags int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @item varbinary(max);
    DECLARE @now datetime;
    DECLARE @proposed varchar(32);
    SET @now = GETUTCDATE();
    SET @proposed = @lockCookie;
    BEGIN TRANSACTION;
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], SYSUTCDATETIME())
        WHERE [Application] = @application AND [Id] = @id;
    IF @@ROWCOUNT = 0
    BEGIN
        COMMIT TRANSACTION;
        RETURN 0;
    END;
    SELECT @locked = [Locked],
            @lockTimestamp = CASE WHEN [Locked] = 0 THEN @now ELSE [LockTimestamp] END,
            @lockCookie = CASE WHEN [Locked] = 0 THEN @proposed ELSE [LockCookie] END,
            @flags = CASE WHEN [Locked] = 0 THEN [Flags] ELSE 0 END,
            @item = CASE WHEN [Locked] = 0 THEN [Item] ELSE NULL END
        FROM [dbo].[SessionState]
        WHERE [Application] = @application AND [Id] = @id;
    IF @locked = 0
        UPDATE [dbo].[SessionState] WITH (ROWLOCK)
            SET [Locked] = 1,
                [LockTimestamp] = @now,
                [LockCookie] = @proposed,
                [Flags] = 0
            WHERE [Application] = @application AND [Id] = @id;
    COMMIT TRANSACTION;
    SELECT @item AS [Item];
    RETURN 1;
END
GO

CREATE PROCEDURE [dbo].[SetAndReleaseItem]
    @application uniqueidentifier,
    @id nvarchar(88),
    @lockCookie varchar(32),
    @flags int,
    @timeout int,
    @item image
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET [Expires] = DATEADD(MINUTE, @timeout, SYSUTCDATETIME()),
            [Locked] = 0,
            [LockTimestamp] = NULL,
            [LockCookie] = NULL,
            [Timeout] = @timeout,
            [Flags] = @flags,
            [Item] = CAST(@item AS varbinary(max))
        WHERE [Application] = @application AND [Id] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[ReleaseItem]
    @application uniqueidentifier,
    @id nvarchar(88),
    @lockCookie varchar(32)
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], SYSUTCDATETIME()),
            [Locked] = 0,
            [LockTimestamp] = NULL,
            [LockCookie] = NULL
        WHERE [Application] = @application AND [Id] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[RemoveItem]
    @application uniqueidentifier,
    @id nvarchar(88),
    @lockCookie varchar(32)
AS
BEGIN
    SET NOCOUNT ON;
    DELETE FROM [dbo].[SessionState]
        WHERE [Application] = @application AND [Id] = @id AND [LockCookie] = @lockCookie;
END
GO

CREATE PROCEDURE [dbo].[InsertItem]
    @application uniqueidentifier,
    @id nvarchar(88),
    @item image,
    @timeout int,
    @flags int
AS
BEGIN
    SET NOCOUNT ON;
    INSERT INTO [dbo].[SessionState] ([Application], [Id], [Expires], [Timeout], [Flags], [Item])
        VALUES (
            @application, @id, DATEADD(MINUTE, @timeout, SYSUTCDATETIME()), @timeout, @flags,
            CAST(@item AS varbinary(max))
        );
END
GO

CREATE PROCEDURE [dbo].[ResetItemTimeout]
    @application uniqueidentifier,
    @id nvarchar(88)
AS
BEGIN
    SET NOCOUNT ON;
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET [Expires] = DATEADD(MINUTE, [Timeout], SYSUTCDATETIME())
        WHERE [Application] = @application AND [Id] = @id;
END
GO

-- READCOMMITTEDLOCK, because READPAST wants locks where the database reads row versions, as Azure
-- SQL does. On a server that knows no hints somebody else may be faster with what was found; then the
-- next one is looked for.
CREATE PROCEDURE [dbo].[GetExpiredItemExclusive]
    @application uniqueidentifier,
    @id nvarchar(88) OUTPUT,
    @lockTimestamp datetime,
    @lockCookie varchar(32)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    DECLARE @item varbinary(max);
    DECLARE @claimed int;
    SET @claimed = 0;
    BEGIN TRANSACTION;
    WHILE @claimed = 0
    BEGIN
        SET @id = NULL;
        SELECT TOP (1) @id = [Id]
            FROM [dbo].[SessionState] WITH (UPDLOCK, ROWLOCK, READPAST, READCOMMITTEDLOCK)
            WHERE [Application] = @application AND [Locked] = 0 AND [Expires] <= @lockTimestamp
            ORDER BY [Expires];
        IF @id IS NULL
        BEGIN
            COMMIT TRANSACTION;
            RETURN 0;
        END;
        UPDATE [dbo].[SessionState] WITH (ROWLOCK)
            SET [Locked] = 1,
                [LockTimestamp] = @lockTimestamp,
                [LockCookie] = @lockCookie
            WHERE [Application] = @application AND [Id] = @id
                AND [Locked] = 0 AND [Expires] <= @lockTimestamp;
        SET @claimed = @@ROWCOUNT;
    END;
    SELECT @item = [Item] FROM [dbo].[SessionState]
        WHERE [Application] = @application AND [Id] = @id;
    COMMIT TRANSACTION;
    SELECT @item AS [Item];
    RETURN 1;
END
GO

EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'TABLE', N'Application';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'TABLE', N'SessionState';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'GetApplicationId';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'GetItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'GetItemExclusive';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'SetAndReleaseItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'ReleaseItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'RemoveItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'InsertItem';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'ResetItemTimeout';
EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'PROCEDURE', N'GetExpiredItemExclusive';
GO
