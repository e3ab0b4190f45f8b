//! Memory of tensors that is used again. A step of training asks for the same sizes as the last one; taking megabytes from the
//! system anew, and having them set to zero first, costs as much as BatchNorm itself.

use std::{
    mem::MaybeUninit,
    sync::{Mutex, PoisonError},
};

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, Shape, TensorData},
};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

/// Shorter values are not worth keeping.
const SHORTEST: usize = 4096;
/// Kept values that were not asked for while so many others were are given back.
const PATIENCE: u64 = 4096;

/// Values that are free, each with the time at which it became so.
#[derive(Debug)]
struct Free {
    values: Vec<(u64, Vec<f32>)>,
    time: u64,
}

static FREE: Mutex<Free> = Mutex::new(Free { values: Vec::new(), time: 0 });

impl Free {
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        self.time += 1;
        let oldest = self.time.saturating_sub(PATIENCE);
        self.values.retain(|(since, _)| *since >= oldest);
        // The newest of the right length, which may still be in the cache.
        let place = self.values.iter().rposition(|(_, values)| values.len() == length)?;
        Some(self.values.remove(place).1)
    }

    fn put(&mut self, values: Vec<f32>) {
        self.values.push((self.time, values));
    }
}

fn free() -> std::sync::MutexGuard<'static, Free> {
    // Values are whole whatever happened to the thread that held the lock.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many values; what they are is left open.
pub(super) fn any_values(length: usize) -> Vec<f32> {
    if length < SHORTEST {
        return vec![0.0; length];
    }
    let found = free().take(length);
    found.unwrap_or_else(|| vec![0.0; length])
}

/// A tensor of these values, whose memory is used again when the tensor is gone.
pub(super) fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    if values.len() < SHORTEST {
        return FlexTensor::from_data(TensorData::new(values, shape.to_vec()));
    }
    let length = size_of_val(values.as_slice());
    // SAFETY: all bytes of a vector's values are initialised, and `Reused` shows exactly these.
    let bytes = unsafe { Bytes::from_controller(Box::new(Reused(values)), length) };
    FlexTensor::from_data(TensorData::from_bytes(bytes, Shape::from(shape.to_vec()), DType::F32))
}

/// Values that go back to [`FREE`].
#[derive(Debug)]
struct Reused(Vec<f32>);

impl Drop for Reused {
    fn drop(&mut self) {
        free().put(std::mem::take(&mut self.0));
    }
}

impl AllocationController for Reused {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.0);
        let (start, length) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: the same bytes, lent for as long; the caller promises to write initialised bytes only.
        Ok(unsafe { std::slice::from_raw_parts_mut(start, length) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.0);
        // SAFETY: the same bytes, lent for as long; what is initialised may be seen as what may not be.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_dropped_tensor_is_used_again() {
        let length = 4096 + 77;
        let made = tensor(vec![7.0; length], &[1, length]);
        assert_eq!(made.as_slice::<f32>().unwrap()[length - 1], 7.0);
        let copy = made.clone();
        drop(made);
        assert_eq!(any_values(length)[0], 0.0, "a clone still has the memory");
        drop(copy);
        assert_eq!(any_values(length), vec![7.0; length]);
        assert_eq!(any_values(length)[0], 0.0, "it was given once");
        drop(tensor(vec![7.0; length], &[length]));
        for _ in 0..2 * PATIENCE {
            any_values(SHORTEST);
        }
        assert_eq!(any_values(length)[0], 0.0, "it was given back");
    }

    #[test]
    fn small_tensors_are_ordinary() {
        assert_eq!(tensor(vec![1.0, 2.0], &[2]).as_slice::<f32>().unwrap(), [1.0, 2.0]);
        assert_eq!(any_values(3), [0.0; 3]);
    }
}
