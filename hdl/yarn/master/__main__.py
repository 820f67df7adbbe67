"""Run the master: `python -m hdl.yarn.master`.

Java starts in a thread. Then the master registers and asks for containers, and Python imports the rest of it while YARN
looks for them.
"""

import faulthandler
import sys

from hdl import quick

if __name__ == "__main__":
    quick.begin()
    faulthandler.enable()  # before Java: after it, it would take Java's own signals for crashes
    from hdl.yarn.resource_manager import java
    from hdl.yarn.resource_manager.clients import Clients

    java.load_bridge()
    clients = Clients()
    from hdl.yarn.master import early

    begun = early.begin(clients, sys.argv[1])
    early.wait(begun)  # Java's calls need Python's lock, which imports hold
    from hdl.yarn.master.master import main

    main(clients, begun)
