"""The program `hdl`, also `python -m hdl`.

A command that goes to a session needs no command line here: its first round is to begin a moment later.
"""

from __future__ import annotations

import sys
from itertools import takewhile

from hdl import quick, unpacked


def main() -> None:
    """Run the command line, or send it to the session that it names, and exit with its status."""
    quick.begin()
    if any(word.partition("=")[0] == "--session" for word in sys.argv[2:]) and sys.argv[1] != "session":
        from hdl.errors import HdlError
        from hdl.session import client

        if (name := client.named(sys.argv[1:])) is not None:
            try:
                sys.exit(client.run(name, sys.argv[1:], waiting=client.tell_waiting))
            except HdlError as error:
                print(f"hdl: error: {error}", file=sys.stderr)
                sys.exit(error.exit_code)
            except KeyboardInterrupt:
                print("hdl: error: interrupted", file=sys.stderr)
                sys.exit(130)
    if any(word in ("yarn", "--runner=yarn") for word in sys.argv[2:]):
        from hdl.yarn.client import connection

        if connection.asked_for(sys.argv[1:]):
            connection.warm()  # Java starts meanwhile
    else:
        unpacked.begin(takewhile(lambda word: not word.startswith("-"), sys.argv[2:]))
    from hdl import cli

    cli.main()


if __name__ == "__main__":
    main()
