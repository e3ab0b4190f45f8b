//! Inputs as files that other tools read.

use std::{io, io::Write, path::Path};

use super::NetworkInput;
use crate::distill::durable;

/// Writes inputs of one `shape` (`[channels, height, width]`) as one NumPy file of `float32`, `[frames, 1, channels, height, width]`:
/// each entry is what the network takes in. The format is that of `numpy.lib.format`, version 1.0.
///
/// # Errors
/// Whatever the file system says.
pub fn dump_inputs(path: &Path, inputs: &[NetworkInput], shape: [usize; 3]) -> io::Result<()> {
    let [channels, height, width] = shape;
    let shape = format!("({}, 1, {channels}, {height}, {width})", inputs.len());
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length take 10 bytes; with them the header ends at a multiple of 64, in a line break.
    let padding = 64 - (10 + header.len() + 1) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| io::Error::other("the header is too long"))?;
    durable::write_file(path, |writer| {
        writer.write_all(b"\x93NUMPY\x01\x00")?;
        writer.write_all(&length.to_le_bytes())?;
        writer.write_all(header.as_bytes())?;
        for input in inputs {
            for value in input {
                writer.write_all(&value.to_le_bytes())?;
            }
        }
        Ok::<(), io::Error>(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_finds_header_and_values_where_it_looks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inputs.npy");
        dump_inputs(&path, &[vec![1.0, 2.0], vec![3.0, -4.0]], [1, 1, 2]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(header.contains("'shape': (2, 1, 1, 1, 2)") && header.ends_with('\n'), "{header}");
        let values: Vec<f32> =
            bytes[10 + length..].chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(values, [1.0, 2.0, 3.0, -4.0]);
    }
}
