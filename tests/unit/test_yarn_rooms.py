"""Rooms of hdl/yarn: which may import which, read from the sources."""

import ast
from pathlib import Path

import hdl

ROOMS = {"comm", "resource_manager", "master", "worker", "client", "dashboard"}
# Each room may import itself, the modules that lie beside the rooms, and these.
ARROWS = {
    "comm": set(),
    "dashboard": set(),
    "resource_manager": {"comm"},
    "client": {"comm", "resource_manager"},
    "worker": {"comm"},
    "master": {"comm", "dashboard", "resource_manager"},
}


def test_rooms_import_only_what_their_line_names():
    root, files, arrows = Path(hdl.__file__).parent / "yarn", 0, set()
    for path in sorted(root.rglob("*.py")):
        own = path.relative_to(root).parts[0]
        files += 1
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            rooms = {parts[2] for name in names if (parts := name.split("."))[:2] == ["hdl", "yarn"]} & ROOMS
            arrows |= {(own, room) for room in rooms - {own}}
    assert files >= 35, f"read {files} files"
    assert {own for own, _ in arrows} <= ROOMS, f"{arrows}: what lies beside the rooms imports none of them"
    assert arrows == {(own, room) for own, rooms in ARROWS.items() for room in rooms}, f"of {files} files"
