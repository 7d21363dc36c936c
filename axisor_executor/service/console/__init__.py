"""The console: one page for people who watch over the executor and steer it, served by the HTTP API's application.

It reads and switches by what the API itself is made of. The page is complete without JavaScript, but for the switches.
"""
