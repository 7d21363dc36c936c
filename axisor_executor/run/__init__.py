"""The steps of a run, in order: resolve, read, (settle), send, result. ``executor.py`` puts them together."""
