//! Says early, and in plain words, what feature `ros` lacks on this machine.
//!
//! r2r's own build scripts need the same things and fail with less helpful messages. Cargo lets no crate run before a dependency's
//! build script that does not depend on it, so which message comes first is chance; on a machine with two or more cores both are printed.
//! What r2r does not notice at all is a message package that is not installed: without this check that shows up as unresolved
//! modules all over the code.

use std::path::Path;

/// The packages whose messages the nodes use. Each must be installed and must pass r2r's filter.
const INTERFACES: &[&str] = &[
    "bond",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "vision_msgs",
    "visualization_msgs",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=AMENT_PREFIX_PATH");
    println!("cargo::rerun-if-env-changed=IDL_PACKAGE_FILTER");
    if std::env::var_os("CARGO_FEATURE_ROS").is_some()
        && let Err(message) = check_ros()
    {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn check_ros() -> Result<(), String> {
    let prefixes = std::env::var("AMENT_PREFIX_PATH").unwrap_or_default();
    if prefixes.is_empty() {
        return Err("feature `ros` needs a ROS 2, and none is sourced.\n\
             With ROS 2 installed: source /opt/ros/jazzy/setup.bash\n\
             Without: scripts/setup (once), then source scripts/env\n\
             For the offline tool alone: cargo build --no-default-features --features distill"
            .into());
    }
    let installed = |package: &&&str| {
        prefixes.split(':').any(|prefix| Path::new(prefix).join("share/ament_index/resource_index/rosidl_interfaces").join(package).exists())
    };
    let missing: Vec<&str> = INTERFACES.iter().filter(|package| !installed(package)).copied().collect();
    if !missing.is_empty() {
        let apt: Vec<String> = missing.iter().map(|package| format!("ros-jazzy-{}", package.replace('_', "-"))).collect();
        return Err(format!(
            "the ROS 2 that is sourced ({prefixes}) has no {}.\nInstall: sudo apt install {}",
            missing.join(", "),
            apt.join(" ")
        ));
    }
    if let Ok(filter) = std::env::var("IDL_PACKAGE_FILTER") {
        let kept: Vec<&str> = filter.split(';').collect();
        let dropped: Vec<&str> = INTERFACES.iter().filter(|package| !kept.contains(package)).copied().collect();
        if !dropped.is_empty() {
            return Err(format!(
                "IDL_PACKAGE_FILTER keeps r2r from seeing {}.\nUnset it, or add them (a semicolon list; scripts/env has the one we use).",
                dropped.join(", ")
            ));
        }
    }
    Ok(())
}
