//! The numbers of a module, one list for each of its parameters, in the order in which it is walked through.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Tensor, TensorData},
};

/// A list for each parameter.
pub(in crate::distill) type Values = Vec<Vec<f32>>;

/// All numbers of a module.
pub(in crate::distill) fn read(module: &impl Module) -> Values {
    Reader::walk(module, false)
}

/// The numbers of a module under training that are not fitted: running statistics.
pub(super) fn read_unfitted(module: &impl Module) -> Values {
    Reader::walk(module, true)
}

/// The module with these numbers in place of what [`read`] gives.
pub(super) fn write<M: Module>(module: M, values: &[Vec<f32>]) -> M {
    module.map(&mut Writer { values: values.iter(), unfitted: false })
}

/// The module with these numbers in place of what [`read_unfitted`] gives.
pub(super) fn write_unfitted<M: Module>(module: M, values: &[Vec<f32>]) -> M {
    module.map(&mut Writer { values: values.iter(), unfitted: true })
}

struct Reader {
    values: Values,
    /// Whether parameters that are fitted are passed over.
    unfitted: bool,
}

impl Reader {
    fn walk(module: &impl Module, unfitted: bool) -> Values {
        let mut reader = Self { values: Vec::new(), unfitted };
        module.visit(&mut reader);
        reader.values
    }
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.unfitted && param.is_require_grad() {
            return;
        }
        let data = param.val().into_data().convert::<f32>();
        self.values.push(data.try_into_vec().expect("the data was just converted to f32"));
    }
}

struct Writer<'a> {
    values: std::slice::Iter<'a, Vec<f32>>,
    /// Whether parameters that are fitted are passed over.
    unfitted: bool,
}

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.unfitted && param.is_require_grad() {
            return param;
        }
        let values = self.values.next().expect("a module has the same parameters whenever it is walked through");
        param.map(|tensor| {
            let shape = tensor.dims();
            Tensor::from_data(TensorData::new(values.clone(), shape), &tensor.device())
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::BatchNormConfig;

    use super::*;
    use crate::distill::loss::reference::device;

    #[test]
    fn what_is_written_is_read_and_fitted_numbers_can_be_passed_over() {
        // Scale and shift are fitted, mean and variance are not.
        let norm = || BatchNormConfig::new(2).init(&device());
        let doubled = |values: Values| -> Values {
            values.into_iter().map(|values| values.into_iter().map(|value| 2.0 * value + 1.0).collect()).collect()
        };
        let all = read(&norm());
        assert_eq!((all.len(), read_unfitted(&norm()).len()), (4, 2));
        let written = doubled(all.clone());
        assert_eq!(read(&write(norm(), &written)), written);
        let statistics = doubled(read_unfitted(&norm()));
        let written = write_unfitted(norm(), &statistics);
        assert_eq!(read_unfitted(&written), statistics);
        let kept = read(&written).iter().zip(&all).filter(|(now, before)| now == before).count();
        assert_eq!(kept, 2);
    }
}
