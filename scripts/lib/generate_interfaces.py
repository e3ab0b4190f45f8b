"""Generates the ROS interface packages of `interfaces/` into the virtual environment it runs in.

`interfaces/<package>/{msg,srv,action}/*` holds definitions only. The package.xml and CMakeLists.txt that ROS's generators ask for
are written into a build folder: inside this repository they would make colcon shadow a robot's own packages.

Usage: generate_interfaces.py <interfaces folder> <build folder>
"""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from mend_prefix import LIB, PREFIX, cut_python_from_plain_libraries

PACKAGE_XML = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name>
  <version>{version}</version>
  <description>Interfaces with the names and types of the ROS package {name}.</description>
  <maintainer email="nobody@example.com">generated</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
{depends}
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""

# C++ interfaces are left out (nobody here compiles C++ against them), and so are the linters. Found packages register themselves as
# generators, so the unwanted ones are taken off that list just before it is read.
CMAKE_LISTS = """cmake_minimum_required(VERSION 3.20)
project({name} C CXX)
set(CMAKE_CXX_STANDARD 17)
# Definitions are small and read once; compile time matters more than speed.
add_compile_options(-O1)
find_package(ament_cmake REQUIRED)
foreach(package {depends})
  find_package(${{package}} REQUIRED)
endforeach()
find_package(rosidl_default_generators REQUIRED)
list(FILTER AMENT_EXTENSIONS_rosidl_generate_idl_interfaces EXCLUDE REGEX "{unwanted}")
rosidl_generate_interfaces(${{PROJECT_NAME}}
  {files}
  DEPENDENCIES {depends})
ament_package()
"""

# The versions of Jazzy whose fields these definitions have.
VERSIONS = {"vision_msgs": "4.1.1", "tf2_msgs": "0.36.0", "bond": "4.1.0"}


def definitions(package: Path) -> list[Path]:
    return sorted(f for kind in ("msg", "srv", "action") for f in package.glob(f"{kind}/*.{kind}"))


def dependencies(package: Path) -> list[str]:
    """Every package whose types the definitions mention, in the `package/Type` form that these files keep to."""
    text = "\n".join(f.read_text(encoding="utf-8") for f in definitions(package))
    names = set(re.findall(r"^([a-z][a-z0-9_]*)/[A-Z]", text, flags=re.MULTILINE)) - {package.name}
    if any(package.glob("action/*.action")):
        names |= {"action_msgs", "service_msgs", "unique_identifier_msgs", "builtin_interfaces"}
    return sorted(names | {"builtin_interfaces"})


def has_python_headers() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def write_package(package: Path, source: Path, unwanted: str) -> None:
    depends = dependencies(package)
    for file in definitions(package):
        copy = source / file.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    files = "\n  ".join(f'"{f.relative_to(package)}"' for f in definitions(package))
    (source / "package.xml").write_text(
        PACKAGE_XML.format(
            name=package.name,
            version=VERSIONS.get(package.name, "0.0.0"),
            depends="\n".join(f"  <depend>{d}</depend>" for d in depends),
        ),
        encoding="utf-8",
    )
    (source / "CMakeLists.txt").write_text(
        CMAKE_LISTS.format(name=package.name, depends=" ".join(depends), files=files, unwanted=unwanted), encoding="utf-8"
    )


def run(what: str, command: list, log: Path) -> None:
    environment = dict(os.environ, CMAKE_PREFIX_PATH=str(PREFIX), AMENT_PREFIX_PATH=str(PREFIX), LD_LIBRARY_PATH=str(LIB))
    environment["PATH"] = f"{PREFIX / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    environment.pop("PYTHONPATH", None)
    result = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with log.open("a", encoding="utf-8") as out:
        out.write(result.stdout)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-25:])
        sys.exit(f"{what} failed; the end of {log} reads:\n{tail}")


def generate(package: Path, build_root: Path, unwanted: str) -> None:
    source, build = build_root / package.name / "source", build_root / package.name / "build"
    write_package(package, source, unwanted)
    log = build_root / f"{package.name}.log"
    log.unlink(missing_ok=True)
    run(
        f"configuring {package.name}",
        [
            "cmake", "-G", "Ninja", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=None", "-DBUILD_TESTING=OFF",
            "-DCMAKE_POLICY_VERSION_MINIMUM=3.5", "-Wno-dev", f"-DCMAKE_INSTALL_PREFIX={PREFIX}", "-DCMAKE_INSTALL_LIBDIR=lib",
            f"-DPython3_EXECUTABLE={PREFIX / 'bin/python'}",
        ],
        log,
    )  # fmt: skip
    run(f"building {package.name}", ["cmake", "--build", build], log)
    run(f"installing {package.name}", ["cmake", "--install", build], log)


def main() -> None:
    interfaces, build_root = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    unwanted = "_cpp:|_cpp$"
    if not has_python_headers():
        unwanted += "|rosidl_generator_py"
        print("      Python.h is missing, so these packages get no Python side: Rust does not need it, the tests that use rclpy do.")
        print("      To have it: install your Python's headers (Debian, Ubuntu: python3-dev) and run `scripts/setup --again`.")
    for package in sorted(p for p in interfaces.iterdir() if definitions(p)):
        generate(package, build_root, unwanted)
        print(f"      {package.name}: {len(definitions(package))} definitions", flush=True)
    cut_python_from_plain_libraries(LIB)


if __name__ == "__main__":
    main()
