"""Where kept figures come from: the commit and the machine that made them."""

import os
import platform
import subprocess
from pathlib import Path


def commit():
    """What was run, as Git names it; with a `+` where files differ from that."""
    git = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def machine():
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"
