//! Where a student is trained.

use burn::tensor::Device;

use super::TrainError;

/// Names of the devices that this build has: `cpu` always, `cuda` and `wgpu` with the features of these names. Those two may
/// be followed by a number, like `cuda:1`, where there are several.
pub const DEVICES: &[&str] = &[
    "cpu",
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "wgpu")]
    "wgpu",
];

/// The device of a name in [`DEVICES`].
///
/// # Errors
/// When this build does not have it.
pub fn device(name: &str) -> Result<Device, TrainError> {
    let unknown = || TrainError::Device { name: name.to_owned() };
    let (kind, index) = match name.split_once(':') {
        None => (name, None),
        Some((kind, index)) => (kind, Some(index.parse::<usize>().map_err(|_| unknown())?)),
    };
    match (kind, index) {
        ("cpu", None) => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        ("cuda", index) => Ok(Device::cuda(index.unwrap_or(0))),
        #[cfg(feature = "wgpu")]
        ("wgpu", index) => Ok(Device::wgpu(match index {
            None => burn::tensor::DeviceKind::DefaultDevice,
            Some(index) => burn::tensor::DeviceKind::DiscreteGpu(index),
        })),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_name() {
        assert!(device("cpu").is_ok());
        for name in ["cpu:0", "gpu", "cuda:one", "wgpu:-1", ""] {
            let error = device(name).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains("cpu"), "{error}");
        }
    }
}
