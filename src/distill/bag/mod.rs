//! Recordings: rosbag2 bags of every kind and folders of images, read as streams.
