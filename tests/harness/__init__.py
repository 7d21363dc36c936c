"""Real servers for the tests: started by the test run itself, gone with it."""
