"""Run the master: `python -m hdl.yarn.master`."""

from hdl.yarn.master.master import main

if __name__ == "__main__":
    main()
