//! ROS 2 messages read straight out of CDR bytes (XCDR1, little and big endian), borrowing their payloads.
