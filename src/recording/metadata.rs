//! rosbag2's `metadata.yaml`, versions 1 to 9.
//!
//! The layout is that of `rosbag2_storage/bag_metadata.hpp` and its YAML conversion: version 4 brought the quality of service
//! and paths relative to the folder, 5 the per-file counts, 6 custom data, 7 type hashes, 8 the distribution, 9 the quality of
//! service as YAML nodes instead of a string.

use serde::{Deserialize, Serialize};

/// The newest version known here.
pub(crate) const NEWEST_VERSION: u32 = 9;

/// The whole file.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Document {
    pub(crate) rosbag2_bagfile_information: Metadata,
}

/// What `metadata.yaml` says of a recording. The field names are the file's.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Metadata {
    pub(crate) version: u32,
    pub(crate) storage_identifier: String,
    #[serde(default)]
    pub(crate) duration: Duration,
    #[serde(default)]
    pub(crate) starting_time: StartingTime,
    #[serde(default)]
    pub(crate) message_count: u64,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) topics_with_message_count: Vec<TopicWithCount>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) compression_format: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) compression_mode: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) relative_file_paths: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) files: Vec<FileInformation>,
    #[serde(default)]
    pub(crate) custom_data: Option<serde_yaml::Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) ros_distro: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct Duration {
    pub(crate) nanoseconds: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct StartingTime {
    pub(crate) nanoseconds_since_epoch: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct TopicWithCount {
    pub(crate) topic_metadata: TopicMetadata,
    pub(crate) message_count: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct TopicMetadata {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) serialization_format: String,
    #[serde(default)]
    pub(crate) offered_qos_profiles: serde_yaml::Value,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) type_description_hash: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub(crate) struct FileInformation {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) starting_time: StartingTime,
    #[serde(default)]
    pub(crate) duration: Duration,
    #[serde(default)]
    pub(crate) message_count: u64,
}

/// YAML writes empty lists and texts as nothing at times.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Metadata {
    /// The file's text.
    pub(crate) fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(&Document { rosbag2_bagfile_information: self.clone() })
    }
}
