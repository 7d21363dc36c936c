"""``axisor-executor up``: everything on one machine, with its state in a folder, kept running."""
