-- The session database of sessionbench's sql_universal on SQL Server and Azure SQL.
--
-- The table is the one that Microsoft's Universal Providers have Entity Framework create; there are no
-- procedures.

CREATE TABLE [dbo].[Sessions] (
    [SessionId] nvarchar(88) NOT NULL PRIMARY KEY,
    [Created] datetime NOT NULL,
    [Expires] datetime NOT NULL,
    [LockDate] datetime NOT NULL,
    [LockCookie] int NOT NULL,
    [Locked] bit NOT NULL,
    [SessionItem] varbinary(max) NULL,
    [Flags] int NOT NULL,
    [Timeout] int NOT NULL
);
GO

CREATE INDEX [IX_Sessions_Expires] ON [dbo].[Sessions] ([Expires]);
GO

EXEC sys.sp_addextendedproperty N'sessionbench', N'made by sessionbench', N'SCHEMA', N'dbo', N'TABLE', N'Sessions';
GO
