"""The user's side: submit an application, and follow it."""
