"""Run the master: `python -m hdl.yarn.master`. Java starts in a thread, while Python imports the rest."""

from hdl.yarn.resource_manager.clients import Clients

if __name__ == "__main__":
    clients = Clients()
    from hdl.yarn.master.master import main

    main(clients)
