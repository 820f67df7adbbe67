"""`python -m hdl`: the command line without an installed entry point."""

from hdl.cli import main

if __name__ == "__main__":
    main()
