"""The store of one controller: SQLite, one file in the data folder."""
