"""The command that searches: driver, resume, live table, summary, dry run."""
