"""Programs of users that a type checker reads; nothing here runs. See ../test_typing.py."""
