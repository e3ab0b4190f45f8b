"""Takes C libraries out of wheels: ONNX Runtime for the models, libclang for bindgen.

A wheel is a zip file and these libraries do not depend on Python, so the wheels are unpacked, not installed, and any Python will do.

Usage: native_libraries.py <package> <version> <file in the wheel, as a pattern> <target folder> <name of the library there>
"""

import fnmatch
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def download(package: str, version: str, folder: str) -> Path:
    # Some of these wheels are tagged with a Python version; ask for one that every release has.
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--python-version=3.12",
        "--implementation=cp", "--abi=cp312", "--abi=none", f"--dest={folder}", f"{package}=={version}",
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"pip could not download {package} {version}: is the network there, and is this an x86-64 or arm64 Linux with glibc?")
    return next(Path(folder).glob("*.whl"))


def main() -> None:
    package, version, pattern, target, name = sys.argv[1:]
    target_folder = Path(target)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(download(package, version, folder)) as wheel:
        members = [m for m in wheel.namelist() if fnmatch.fnmatch(m, pattern)]
        if not members:
            sys.exit(f"the wheel of {package} {version} holds nothing like {pattern}")
        target_folder.mkdir(parents=True, exist_ok=True)
        for member in members:
            (target_folder / Path(member).name).write_bytes(wheel.read(member))
    libraries = sorted((f for f in target_folder.iterdir() if f.name.startswith(name)), key=lambda f: len(f.name))
    link = target_folder / name
    if not link.exists():
        link.symlink_to(libraries[0].name)


if __name__ == "__main__":
    main()
