"""Mends what the ROS wheels leave broken once they are installed in a virtual environment.

The wheels lay their files out like /opt/ros/jazzy, but four things keep a compiled program from using them. Each function below
mends one and may be run again. Run with the interpreter of the virtual environment: `mend_prefix.py [library folder]`.
"""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

PREFIX = Path(sys.prefix)
LIB = PREFIX / "lib"
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

# The interpreter of the machine that built the wheels.
BUILD_PYTHON = re.compile(r"/opt/python/cp3\d+-cp3\d+")
BUILD_SITE_PACKAGES = re.compile(BUILD_PYTHON.pattern + r"/lib/python3\.\d+/site-packages")


def link(target: Path, name: Path) -> bool:
    """Makes `name` a link to `target`; says whether it was missing."""
    if name.is_symlink() or name.exists():
        return False
    name.symlink_to(target)
    return True


def name_the_middleware() -> int:
    """librmw_implementation.so only chooses a middleware at run time; with one middleware, that one can stand in its place."""
    return link(Path("librmw_fastrtps_cpp.so"), LIB / "librmw_implementation.so")


def gather_vendored_libraries() -> int:
    """Brings the libraries that lie in site-packages/ros_*.libs to lib/, so that one folder on the library path is enough."""
    found = sorted(SITE_PACKAGES.glob("ros_*.libs/*.so*"))
    return sum(link(Path("..") / lib.relative_to(PREFIX), LIB / lib.name) for lib in found)


def cut_python_from_plain_libraries(folder: Path) -> int:
    """Plain C libraries ask for Python extension libraries, which a program without an interpreter cannot load."""
    mended = 0
    for lib in sorted(folder.glob("lib*.so*")):
        if lib.is_symlink() or lib.name.endswith("__rosidl_generator_py.so") or b"__rosidl_generator_py.so" not in lib.read_bytes():
            continue
        needed = subprocess.run([PREFIX / "bin/patchelf", "--print-needed", lib], check=True, capture_output=True, text=True).stdout.split()
        unwanted = [name for name in needed if name.endswith("__rosidl_generator_py.so")]
        if unwanted:
            arguments = [word for name in unwanted for word in ("--remove-needed", name)]
            subprocess.run([PREFIX / "bin/patchelf", *arguments, lib], check=True)
            mended += 1
    return mended


def name_this_interpreter() -> int:
    """Exported CMake files name the interpreter they were built with; make them name this one."""
    mended = 0
    for file in sorted((PREFIX / "share").glob("*/cmake/*.cmake")):
        text = file.read_text(encoding="utf-8")
        new = BUILD_SITE_PACKAGES.sub(str(SITE_PACKAGES), text)
        new = BUILD_PYTHON.sub(sys.base_prefix, new)
        if new != text:
            file.write_text(new, encoding="utf-8")
            mended += 1
    return mended


def main() -> None:
    print(f"      middleware named: {int(name_the_middleware())}")
    print(f"      vendored libraries linked: {gather_vendored_libraries()}")
    print(f"      libraries freed from Python: {cut_python_from_plain_libraries(LIB)}")
    print(f"      CMake files corrected: {name_this_interpreter()}")


if __name__ == "__main__":
    main()
