"""Messages, keys and weights between the processes of an application."""
