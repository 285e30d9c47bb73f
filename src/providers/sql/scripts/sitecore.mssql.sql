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
    INSERT INTO [dbo].[Application] ([Name])
        SELECT @name
        WHERE NOT EXISTS (
            SELECT 1 FROM [dbo].[Application] WITH (UPDLOCK, HOLDLOCK) WHERE [Name] = @name
        );
    SELECT @id = [Id] FROM [dbo].[Application] WHERE [Name] = @name;
END
GO

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
    DECLARE @item varbinary(max);
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET @locked = [Locked],
            @lockTimestamp = [LockTimestamp],
            @lockCookie = [LockCookie],
            @flags = CASE WHEN [Locked] = 0 THEN [Flags] ELSE 0 END,
            @item = CASE WHEN [Locked] = 0 THEN [Item] ELSE NULL END,
            [Flags] = CASE WHEN [Locked] = 0 THEN 0 ELSE [Flags] END,
            [Expires] = DATEADD(MINUTE, [Timeout], SYSUTCDATETIME())
        WHERE [Application] = @application AND [Id] = @id;
    IF @@ROWCOUNT = 0
        RETURN 0;
    SELECT @item AS [Item];
    RETURN 1;
END
GO

-- One UPDATE reads the old values, takes the lock if it is free, and keeps the session alive, all
-- under the lock of the row.
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
    DECLARE @item varbinary(max);
    DECLARE @now datetime;
    DECLARE @proposed varchar(32);
    SET @now = GETUTCDATE();
    SET @proposed = @lockCookie;
    UPDATE [dbo].[SessionState] WITH (ROWLOCK)
        SET @locked = [Locked],
            @lockTimestamp = CASE WHEN [Locked] = 0 THEN @now ELSE [LockTimestamp] END,
            @lockCookie = CASE WHEN [Locked] = 0 THEN @proposed ELSE [LockCookie] END,
            @flags = CASE WHEN [Locked] = 0 THEN [Flags] ELSE 0 END,
            @item = CASE WHEN [Locked] = 0 THEN [Item] ELSE NULL END,
            [LockTimestamp] = CASE WHEN [Locked] = 0 THEN @now ELSE [LockTimestamp] END,
            [LockCookie] = CASE WHEN [Locked] = 0 THEN @proposed ELSE [LockCookie] END,
            [Flags] = CASE WHEN [Locked] = 0 THEN 0 ELSE [Flags] END,
            [Locked] = 1,
            [Expires] = DATEADD(MINUTE, [Timeout], SYSUTCDATETIME())
        WHERE [Application] = @application AND [Id] = @id;
    IF @@ROWCOUNT = 0
        RETURN 0;
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
-- SQL does.
CREATE PROCEDURE [dbo].[GetExpiredItemExclusive]
    @application uniqueidentifier,
    @id nvarchar(88) OUTPUT,
    @lockTimestamp datetime,
    @lockCookie varchar(32)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @item varbinary(max);
    SET @id = NULL;
    WITH [Expired] AS (
        SELECT TOP (1) [Id], [Item], [Locked], [LockTimestamp], [LockCookie]
        FROM [dbo].[SessionState] WITH (UPDLOCK, ROWLOCK, READPAST, READCOMMITTEDLOCK)
        WHERE [Application] = @application AND [Locked] = 0 AND [Expires] <= @lockTimestamp
        ORDER BY [Expires]
    )
    UPDATE [Expired]
        SET @id = [Id],
            @item = [Item],
            [Locked] = 1,
            [LockTimestamp] = @lockTimestamp,
            [LockCookie] = @lockCookie;
    IF @@ROWCOUNT = 0
        RETURN 0;
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
