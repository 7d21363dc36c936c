"""The calls of LN Markets v3, a file for each area, on what they have in common (``caller``)."""
