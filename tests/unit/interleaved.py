"""A file system in memory, and writers that go on by single steps of it, in any order that a test wants."""

from __future__ import annotations

import errno
import io
import threading
import uuid

from hdl import fs

DEADLINE = 250


class Memory:
    """Files in memory behind the methods of `hdl.fs`. A step is what a real one does at once: others come between."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.on_step = None

    def _step(self):
        writer = threading.current_thread()
        if isinstance(writer, Writer):
            writer.wait()
        elif self.on_step is not None:
            self.on_step()

    def open(self, path):
        self._step()
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return io.BytesIO(self.files[path])

    def list(self, path):
        self._step()
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", path)
        return sorted(
            {
                name[len(path) + 1 :].split("/")[0]
                for name in {*self.files, *self.folders}
                if name.startswith(f"{path}/")
            }
        )

    def size(self, path):
        with self.open(path) as file:
            return len(file.read())

    def exists(self, path):
        self._step()
        return path in self.files or path in self.folders

    def isdir(self, path):
        self._step()
        return path in self.folders

    def mkdir(self, path, private=False):
        self._step()
        self.folders.add(path)

    def remove(self, path):
        self._step()
        if self.files.pop(path, None) is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)

    def publish(self, path, write, again=False, private=False, closed=False):
        content, (folder, name) = io.BytesIO(), path.rsplit("/", 1)
        write(content)
        self._step()
        if folder not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", folder)
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
        self.files[temporary] = content.getvalue()
        try:
            self._step()
            if temporary not in self.files:
                raise FileNotFoundError(errno.ENOENT, "no such file", temporary)
            self._take(path, content.getvalue())
        except Exception:
            self.files.pop(temporary, None)
            raise
        del self.files[temporary]

    def copy(self, source, target):
        with self.open(source) as file:
            content = file.read()
        self.publish(target, lambda copied: copied.write(content))

    def rename(self, source, target):
        self._step()
        if source not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", source)
        self._take(target, self.files[source])
        del self.files[source]

    def _take(self, path, content):
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "exists", path)
        self.files[path] = content


class Writer(threading.Thread):
    """Does a work that takes steps of `Memory`, each when it is let."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self._work, self.error, self.steps = work, None, 0
        self._may, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self.killed = False
        self.start()
        assert self._waits.acquire(timeout=DEADLINE)

    def run(self):
        try:
            self.wait()
            self._work()
        except Exception as error:
            self.error = error
        except Killed:
            pass
        finally:
            self.done = True
            self._waits.release()

    done = False

    def wait(self):
        """Waits, in the writer's own thread, to be let."""
        self._waits.release()
        assert self._may.acquire(timeout=DEADLINE)
        if self.killed:
            raise Killed

    def step(self, times=1):
        """Lets it take so many steps; tells whether there are more."""
        for _ in range(times):
            if self.done:
                return False
            self.steps += 1
            self._may.release()
            assert self._waits.acquire(timeout=DEADLINE)
        return not self.done

    def finish(self):
        while self.step():
            pass

    def kill(self):
        """Ends it where it is, as a kill of its process would: it takes no further step."""
        self.killed = True
        self.step()


class Killed(BaseException):
    pass


def storage(monkeypatch):
    """Puts a `Memory` behind paths of memory://."""
    memory = Memory()
    monkeypatch.setitem(fs._SCHEMES, "memory", lambda: memory)
    return memory
