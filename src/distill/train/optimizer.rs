//! One step down the gradient: clipping by the norm over all weights, weight decay on convolutions only.

use burn::{
    module::{Module, ModuleVisitor, Param, ParamGroup},
    optim::{
        AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig,
    },
    tensor::{Bytes, Tensor},
};

use super::TrainError;
use crate::distill::config::{Optimizer, TrainConfig};

/// The optimiser with its state: AdamW ("Decoupled Weight Decay Regularization", Loshchilov and Hutter 2019), or stochastic gradient descent
/// with Nesterov's momentum of 0.9 (Sutskever et al. 2013). Gradients of which the norm over all weights is above `train.clip` are scaled
/// down to it ("On the difficulty of training recurrent neural networks", Pascanu et al. 2013).
pub struct Stepper {
    optimizer: ModuleOptimizer,
    clip: f64,
}

impl Stepper {
    /// A fresh optimiser.
    pub fn new(config: &TrainConfig) -> Self {
        // Biases and BatchNorm's scale and shift are not decayed.
        let undecayed = || ParamGroup::from_any_predicates(vec!["bias", "gamma", "beta"]);
        let optimizer = match config.optimizer {
            Optimizer::AdamW => {
                let base = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(config.weight_decay as f32);
                base.init().with_group(undecayed(), base.with_weight_decay(0.0).build(), None)
            }
            Optimizer::Sgd => {
                let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: true };
                let base = SgdConfig::new().with_momentum(Some(momentum));
                let decay = WeightDecayConfig { penalty: config.weight_decay as f32 };
                base.clone().with_weight_decay(Some(decay)).init().with_group(undecayed(), base.build(), None)
            }
        };
        Self { optimizer, clip: config.clip }
    }

    /// The module after one step at this learning rate, and the Euclidean norm of the gradients before clipping. When that norm is not finite, nothing is
    /// changed.
    pub fn step<M: Module>(&mut self, rate: f64, module: M, gradients: GradientsParams) -> (M, f64) {
        let norm = norm(&module, &gradients);
        if !norm.is_finite() {
            return (module, norm);
        }
        let gradients = if self.clip > 0.0 && norm > self.clip {
            let mut scaler = Scaler { gradients, factor: self.clip / norm };
            module.visit(&mut scaler);
            scaler.gradients
        } else {
            gradients
        };
        (self.optimizer.step(rate, module, gradients), norm)
    }

    /// The state, for a checkpoint.
    ///
    /// # Errors
    /// When burn cannot pack it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrainError> {
        let bytes = self.optimizer.into_bytes().map_err(|error| TrainError::Record(error.to_string()))?;
        Ok(bytes.to_vec())
    }

    /// The optimiser with the state of a checkpoint. The module's parameters must have been read from the same one.
    ///
    /// # Errors
    /// When the bytes are not what [`Self::to_bytes`] gave.
    pub fn load(self, bytes: Vec<u8>) -> Result<Self, TrainError> {
        let optimizer = self
            .optimizer
            .from_bytes(Bytes::from_bytes_vec(bytes))
            .map_err(|error| TrainError::Record(error.to_string()))?;
        Ok(Self { optimizer, clip: self.clip })
    }
}

/// Euclidean norm over all gradients, read from the device at once.
fn norm(module: &impl Module, gradients: &GradientsParams) -> f64 {
    let mut squares = Squares { gradients, sums: Vec::new() };
    module.visit(&mut squares);
    if squares.sums.is_empty() {
        return 0.0;
    }
    let total: f32 = Tensor::cat(squares.sums, 0).sum().into_scalar();
    f64::from(total).sqrt()
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sums.push((gradient.clone() * gradient).sum());
        }
    }
}

struct Scaler {
    gradients: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scaler {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}
