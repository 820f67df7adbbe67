"""Who may look at an application's page, by YARN's lists and Hadoop's groups, in a process with a Java machine."""

import json
import os
import subprocess
import sys

from tests.unit import test_yarn_web
from tests.unit.test_yarn_web import HOME

pytestmark = test_yarn_web.pytestmark

LISTS = """
import json, sys
from hdl.yarn.resource_manager import java
from hdl.yarn.resource_manager.viewers import viewers
java.start()
made = viewers(java.configuration(), "ada", sys.argv[1])
print(json.dumps(made and {user: made.refusal(user) for user in json.loads(sys.argv[2])}))
"""


def judged(folder, view_acl, *users, **site):
    """Ask who may look at ada's application, on a cluster with a configuration of the test's own."""
    properties = {
        "fs.defaultFS": "hdfs://127.0.0.1:1", "hadoop.user.group.static.mapping.overrides": "eve=analysts;bob=;dan=",
        **site,
    }  # fmt: skip
    lines = "".join(f"<property><name>{n}</name><value>{v}</value></property>" for n, v in properties.items())
    for name in "core-site.xml", "yarn-site.xml":
        (folder / name).write_text(f"<configuration>{lines}</configuration>")
    environment = os.environ | {"HADOOP_HOME": HOME, "HADOOP_CONF_DIR": str(folder)}
    command = [sys.executable, "-c", LISTS, view_acl, json.dumps(users)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=True)
    return json.loads(done.stdout)


def test_who_may_look_is_in_yarns_lists(tmp_path):
    site = {"yarn.acl.enable": "true", "yarn.admin.acl": "yarn"}
    may_not = "this is ada's application, and {} may not look at it: its owner lets you by `hdl train --view-acl {}`"
    asks_nobody = "YARN's access control lists are on, and its pages ask nobody who they are"
    answers = judged(tmp_path, "bob analysts", "ada", "yarn", "bob", "eve", "dan", "dr.who", "", **site)
    assert [answers[user] for user in ("ada", "yarn", "bob", "eve")] == [""] * 4
    assert answers["dan"] == may_not.format("dan", "dan")
    assert answers["dr.who"].startswith(asks_nobody)
    assert answers[""].startswith(asks_nobody)
    assert judged(tmp_path, "", "bob", **site) == {"bob": may_not.format("bob", "bob")}
    assert judged(tmp_path, "*", "bob", "", **site) == {"bob": "", "": ""}


def test_without_yarns_lists_everybody_may_look(tmp_path):
    assert judged(tmp_path, "", "bob") is None
    # YARN's own default makes everybody an administrator.
    assert judged(tmp_path, "", "bob", **{"yarn.acl.enable": "true"}) == {"bob": ""}
