//! Any bytes as any message: no panic, and what decodes is the same after encoding and decoding again.

use distilled_perception::messages::{
    CameraInfo, Clock, CompressedImage, Detection2DArray, Detection3DArray, Endianness, Header, Image, LabelInfo,
    LaserScan, Message, PointCloud2, PoseArray, SpeedLimit, TFMessage, Text, Time,
};

macro_rules! check {
    ($bytes:expr, $($type:ident),*) => {$(
        if let Ok(message) = $type::decode($bytes) {
            for endianness in [Endianness::Little, Endianness::Big] {
                let mut first = Vec::new();
                message.encode_into(endianness, &mut first);
                let again = $type::decode(&first).expect("what was encoded decodes");
                let mut second = Vec::new();
                // Bytes are compared, as NaN is not equal to itself.
                again.encode_into(endianness, &mut second);
                assert_eq!(first, second);
            }
        }
    )*};
}

pub fn check(bytes: &[u8]) {
    check!(
        bytes,
        Time,
        Header,
        Clock,
        Image,
        CompressedImage,
        CameraInfo,
        LaserScan,
        PointCloud2,
        TFMessage,
        PoseArray,
        Detection2DArray,
        Detection3DArray,
        LabelInfo,
        SpeedLimit,
        Text
    );
}
