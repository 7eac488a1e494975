"""Run the project's own tools one after another, as a user would."""

import shlex
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / 'tools'


def run_tool(tool: str, *options: object) -> None:
    """Run a tool of the checkout in a process of its own; its output goes to the terminal.

    Args:
        tool: File in ``tools/``.
        *options: Its arguments.

    Raises:
        SystemExit: It failed; the exit status is the tool's.
    """
    command = [sys.executable, str(TOOLS / tool), *map(str, options)]
    print(f'\n$ python tools/{tool} {shlex.join(command[2:])}', flush=True)
    code = subprocess.run(command).returncode
    if code:
        raise SystemExit(code)
