"""From an answer's bytes to typed values, strictly: a file for each area of the API.

A field that is missing or of the wrong type makes the whole answer unreadable, and so does one that contradicts
another: what is not known is never guessed. Fields that nobody here needs are ignored.
"""
