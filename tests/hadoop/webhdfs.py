"""WebHDFS, for tests: what another user, or the superuser, does on a cluster without Kerberos, in milliseconds."""

import json
import urllib.error
import urllib.request
from urllib.parse import quote, urlencode


class WebHdfs:
    """Acts as any user: nobody on such a cluster has to prove who they are.

    Parameters
    ----------
    cluster : Cluster
    user : str
    """

    def __init__(self, cluster, user):
        self.url, self.user = f"{cluster.web()['namenode']}/webhdfs/v1", user
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay).open

    def mkdir(self, path, mode="755", owner=None):
        self._ask("PUT", "MKDIRS", path, permission=mode)
        self.chmod(path, mode)
        if owner:
            self.own(path, owner)

    def put(self, path, content, mode="644", owner=None):
        where = self._ask("PUT", "CREATE", path, permission=mode)
        with self._open(urllib.request.Request(where, method="PUT", data=content), timeout=30):
            pass
        self.chmod(path, mode)
        if owner:
            self.own(path, owner)

    def read(self, path):
        """The file's content; PermissionError if this user may not read it, RuntimeError if it is gone meanwhile."""
        where = self._ask("GET", "OPEN", path)
        try:
            with self._open(urllib.request.Request(where), timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:  # of the DataNode, after the NameNode still had the file
            raise RuntimeError(f"{path} as {self.user}: {error}") from None

    def chmod(self, path, mode):
        self._ask("PUT", "SETPERMISSION", path, permission=mode)

    def own(self, path, owner):
        self._ask("PUT", "SETOWNER", path, owner=owner)

    def setfacl(self, path, entries):
        self._ask("PUT", "MODIFYACLENTRIES", path, aclspec=entries)

    def quota(self, path, names, space):
        self._ask("PUT", "SETQUOTA", path, namespacequota=names, storagespacequota=space)

    def remove(self, path):
        self._ask("DELETE", "DELETE", path, recursive="true")

    def list(self, path):
        """[(name, isdir, mode, owner)] of a folder; PermissionError if this user may not list it."""
        found = json.loads(self._ask("GET", "LISTSTATUS", path))["FileStatuses"]["FileStatus"]
        return [(each["pathSuffix"], each["type"] == "DIRECTORY", each["permission"], each["owner"]) for each in found]

    def walk(self, path):
        """[(path, isdir, mode, owner)] of all that is below a folder and may be listed."""
        try:
            found = self.list(path)
        except PermissionError:
            return
        for name, isdir, mode, owner in found:
            below = f"{path.rstrip('/')}/{name}"
            yield below, isdir, mode, owner
            if isdir:
                yield from self.walk(below)

    def _ask(self, method, op, path, **query):
        url = f"{self.url}{quote(path)}?{urlencode({'op': op, **query, 'user.name': self.user})}"
        try:
            with self._open(urllib.request.Request(url, method=method), timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 307:
                return error.headers["Location"]
            said = error.read().decode()
            kind = PermissionError if "AccessControlException" in said else RuntimeError
            raise kind(f"{op} {path} as {self.user}: {said[:300]}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Leaves it to the caller to follow: a PUT would become a GET."""

    def redirect_request(self, *arguments):
        return None
