# Where things lie; sourced by scripts/setup and scripts/env, in bash or zsh. Needs `dp_root`, the checkout.

dp_cache="${DISTILLED_PERCEPTION_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/distilled_perception}"

# C libraries out of wheels, named by version so that an update never pulls a loaded library from under a running program.
dp_onnxruntime_version=1.32.0
dp_libclang_version=18.1.1
dp_onnxruntime="$dp_cache/native/onnxruntime-$dp_onnxruntime_version/libonnxruntime.so"
dp_libclang="$dp_cache/native/libclang-$dp_libclang_version"

# The prefix is named after what it holds: r2r keeps generated bindings per path and would not notice other contents at the same one.
# Nothing of the checkout's own path enters, so every clone shares one prefix and one build.
dp_prefix_key() {
    (cd "$dp_root" && find scripts/lib/requirements-ros.txt interfaces -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-8)
}
dp_prefix="$dp_cache/ros-jazzy-$(dp_prefix_key)"

# True when the user has sourced a ROS 2 that is not ours.
dp_foreign_ros() {
    case ":${AMENT_PREFIX_PATH:-}:" in
        ::) return 1 ;;
        *":$dp_cache/ros-jazzy-"*) return 1 ;;
        *) return 0 ;;
    esac
}

# True when the system's linker knows a libclang, which bindgen then finds by itself.
dp_system_libclang() {
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q 'libclang\(-[0-9.]*\)\{0,1\}\.so' || ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* 2>/dev/null | grep -q .
}
