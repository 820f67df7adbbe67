"""Run the worker: `python -m hdl.yarn.worker`."""

from hdl.yarn.worker.worker import main

if __name__ == "__main__":
    main()
