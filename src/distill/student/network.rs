//! The network: backbone, neck, heads.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    nn::conv::Conv2d,
    tensor::{Device, Tensor},
};

use super::{
    AnchorPoint, ByGroup, Channels, Group, STRIDES,
    arithmetic::{Arithmetic, Floats},
    block::{ConvUnit, Stage, plain_convolution, upsample},
    config::{CLASS_PRIOR, ConfigError, StudentConfig},
    inherit::{InheritError, Taken, take_prediction},
    rounding::Rounding,
    seed::WeightSeed,
};

/// What the student says of a batch, per stride of [`super::STRIDES`].
#[derive(Debug, Clone)]
pub struct StudentOutput {
    /// Class logits `[B, C, H/s, W/s]`; the probability is their sigmoid.
    pub class_logits: Vec<Tensor<4>>,
    /// Logits of the distances' distributions `[B, 4 * bins, H/s, W/s]`: left, top, right, bottom, each softmax over its bins.
    pub box_distributions: Vec<Tensor<4>>,
}

/// Classes and boxes of one stride: a tower each and a pointwise prediction.
#[derive(Module, Debug)]
struct Head {
    class_tower: ConvUnit,
    class_prediction: Conv2d,
    box_tower: ConvUnit,
    box_prediction: Conv2d,
}

impl Head {
    /// `place` is that of its stride in [`STRIDES`].
    fn new(config: &StudentConfig, channels: &Channels, place: usize, seed: &mut WeightSeed, device: &Device) -> Self {
        let (convolution, classes, bins) = (config.convolution, config.classes.len(), config.bins);
        let prior_logit = (CLASS_PRIOR / (1.0 - CLASS_PRIOR)).ln();
        let (neck, of_class, of_box) = (channels.neck, channels.class_towers[place], channels.box_towers[place]);
        Self {
            class_tower: ConvUnit::of(convolution, [neck, of_class], [3, 3], 1, seed, device),
            class_prediction: plain_convolution([of_class, classes], [1, 1], 1, 0.1, Some(prior_logit), seed, device),
            box_tower: ConvUnit::of(convolution, [neck, of_box], [3, 3], 1, seed, device),
            box_prediction: plain_convolution([of_box, 4 * bins], [1, 1], 1, 0.1, Some(0.0), seed, device),
        }
    }

    fn forward_by(&self, arithmetic: &mut dyn Arithmetic, features: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let class_features = self.class_tower.forward_by(arithmetic, features.clone(), None);
        let box_features = self.box_tower.forward_by(arithmetic, features, None);
        let classes = arithmetic.convolve(&self.class_prediction, class_features);
        let boxes = arithmetic.convolve(&self.box_prediction, box_features);
        (arithmetic.store(classes), arithmetic.store(boxes))
    }

    /// `classes` are the places of its classes among the other's, which are the same without; `towers` are the channels of the class
    /// tower and of the box tower that are taken.
    fn inherit(
        self,
        from: &Self,
        ins: &[usize],
        classes: Option<&[Option<usize>]>,
        towers: [Taken<'_>; 2],
    ) -> Result<Self, InheritError> {
        let [of_class, of_box] = towers;
        let (class_tower, class_features) =
            self.class_tower.inherit(&from.class_tower, ins, of_class, "class tower")?;
        let (box_tower, box_features) = self.box_tower.inherit(&from.box_tower, ins, of_box, "box tower")?;
        let all = |from: &Conv2d| -> Vec<Option<usize>> { (0..from.weight.dims()[0]).map(Some).collect() };
        let classes = match classes {
            Some(places) => places.to_vec(),
            None => all(&from.class_prediction),
        };
        let sides = all(&from.box_prediction);
        Ok(Self {
            class_tower,
            class_prediction: take_prediction(
                self.class_prediction,
                &from.class_prediction,
                &classes,
                &class_features,
                "class prediction",
            )?,
            box_tower,
            box_prediction: take_prediction(
                self.box_prediction,
                &from.box_prediction,
                &sides,
                &box_features,
                "box prediction",
            )?,
        })
    }

    fn fold(self) -> Self {
        Self { class_tower: self.class_tower.fold(), box_tower: self.box_tower.fold(), ..self }
    }
}

/// The camera student. Build it with [`CameraStudent::new`] on `device.autodiff()` for training; [`Module::valid`] gives the
/// snapshot for validation and export.
#[derive(Module, Debug)]
pub struct CameraStudent {
    stem: ConvUnit,
    stages: Vec<Stage>,
    laterals: Vec<ConvUnit>,
    smooth: Vec<ConvUnit>,
    heads: Vec<Head>,
}

impl CameraStudent {
    /// A student with initial weights that depend on the configuration and the seed alone.
    ///
    /// # Errors
    /// What [`StudentConfig::check`] says.
    pub fn new(config: &StudentConfig, seed: u64, device: &Device) -> Result<Self, ConfigError> {
        config.check()?;
        let (widths, channels) = (config.size.widths(), config.group_channels());
        let seed = &mut WeightSeed::new(seed);
        let stem = ConvUnit::new([3, channels.stem], [3, 3], 2, seed, device);
        let mut stages = Vec::new();
        let mut ins = channels.stem;
        for (&width, &depth) in channels.stages.iter().zip(&widths.depths) {
            stages.push(Stage::new(config.convolution, [ins, width], [3, 3], depth, seed, device));
            ins = width;
        }
        let laterals = channels.stages[1..]
            .iter()
            .map(|&width| ConvUnit::new([width, channels.neck], [1, 1], 1, seed, device))
            .collect();
        let smoothed = if widths.smooth_finest { 2 } else { 1 };
        let smooth = (0..smoothed)
            .map(|_| ConvUnit::of(config.convolution, [channels.neck; 2], [3, 3], 1, seed, device))
            .collect();
        let heads = (0..3).map(|place| Head::new(config, &channels, place, seed, device)).collect();
        Ok(Self { stem, stages, laterals, smooth, heads })
    }

    /// Detects on a batch of normalised images `[B, 3, H, W]` (see [`StudentConfig::input_spec`]); height and width must be
    /// multiples of 32.
    pub fn forward(&self, images: Tensor<4>) -> StudentOutput {
        self.forward_by(&mut Floats, images)
    }

    /// [`Self::forward`] in other numbers.
    pub(super) fn forward_by(&self, arithmetic: &mut dyn Arithmetic, images: Tensor<4>) -> StudentOutput {
        self.run(arithmetic, images, &mut |_, _| {})
    }

    /// [`Self::forward`], with the features at some anchor points.
    pub fn forward_with_features(
        &self,
        images: Tensor<4>,
        anchors: &[AnchorPoint],
    ) -> (StudentOutput, BTreeMap<AnchorPoint, Tensor<4>>) {
        self.forward_rounded(images, anchors, None)
    }

    /// [`Self::forward_with_features`] as int8 hardware computes it, where it is said how numbers are rounded. The student must be
    /// folded then.
    pub fn forward_rounded(
        &self,
        images: Tensor<4>,
        anchors: &[AnchorPoint],
        rounding: Option<&Rounding>,
    ) -> (StudentOutput, BTreeMap<AnchorPoint, Tensor<4>>) {
        let mut features = BTreeMap::new();
        let mut rounded = rounding.map(Rounding::arithmetic);
        let mut floats = Floats;
        let arithmetic: &mut dyn Arithmetic = match &mut rounded {
            Some(rounded) => rounded,
            None => &mut floats,
        };
        let output = self.run(arithmetic, images, &mut |anchor, tensor| {
            if anchors.contains(&anchor) {
                features.insert(anchor, tensor.clone());
            }
        });
        (output, features)
    }

    /// Shows the features of each anchor point to `pass`.
    fn run(
        &self,
        arithmetic: &mut dyn Arithmetic,
        images: Tensor<4>,
        pass: &mut dyn FnMut(AnchorPoint, &Tensor<4>),
    ) -> StudentOutput {
        let images = arithmetic.store(images);
        let mut features = self.stem.forward_by(arithmetic, images, None);
        let mut pyramid = Vec::with_capacity(3);
        for (index, stage) in self.stages.iter().enumerate() {
            features = stage.forward_by(arithmetic, features);
            pass(AnchorPoint::of_stage(index), &features);
            if index > 0 {
                pyramid.push(self.laterals[index - 1].forward_by(arithmetic, features.clone(), None));
            }
        }
        // Top-down, coarsest first: `smooth[0]` is the middle level's, `smooth[1]` (if any) the finest level's.
        for (step, level) in (0..pyramid.len().saturating_sub(1)).rev().enumerate() {
            let [_, _, rows, columns] = pyramid[level].dims();
            // What is made larger has the values of what was stored, and is not rounded again.
            let sum = arithmetic.store(pyramid[level].clone() + upsample(pyramid[level + 1].clone(), [rows, columns]));
            pyramid[level] = match self.smooth.get(step) {
                Some(unit) => unit.forward_by(arithmetic, sum, None),
                None => sum,
            };
        }
        let mut output = StudentOutput { class_logits: Vec::new(), box_distributions: Vec::new() };
        for ((features, head), stride) in pyramid.into_iter().zip(&self.heads).zip(STRIDES) {
            pass(AnchorPoint::Neck(stride), &features);
            let (class_logits, box_distributions) = head.forward_by(arithmetic, features);
            pass(AnchorPoint::ClassLogits(stride), &class_logits);
            pass(AnchorPoint::BoxDistribution(stride), &box_distributions);
            output.class_logits.push(class_logits);
            output.box_distributions.push(box_distributions);
        }
        output
    }

    /// This student with every n-th layer and channel of a larger one of the same convolution, classes and bins. Give it
    /// [`Module::valid`] students on one device.
    ///
    /// # Errors
    /// When the other one is smaller somewhere, or of another kind.
    pub fn inherit(self, from: &Self) -> Result<Self, InheritError> {
        self.inherit_all(from, None, None)
    }

    /// [`Self::inherit`] from a student of other classes. `places` are those of this student's classes among the other's (see
    /// [`super::class_places`]); a class without one keeps its initial weights.
    ///
    /// # Errors
    /// When the other one is smaller somewhere, of another kind, or has no class of a place.
    pub fn inherit_classes(self, from: &Self, places: &[Option<usize>]) -> Result<Self, InheritError> {
        self.inherit_all(from, Some(places), None)
    }

    /// [`Self::inherit`] with these channels of each group of the other one, in their order, in place of every n-th: a student that is
    /// built by the numbers of them is the other one with all other channels cut out.
    ///
    /// # Errors
    /// When the channels are not as many as this student has, or the other one lacks some, or is of another kind.
    pub fn inherit_channels(self, from: &Self, channels: &ByGroup<Vec<usize>>) -> Result<Self, InheritError> {
        self.inherit_all(from, None, Some(channels))
    }

    fn inherit_all(
        self,
        from: &Self,
        classes: Option<&[Option<usize>]>,
        chosen: Option<&ByGroup<Vec<usize>>>,
    ) -> Result<Self, InheritError> {
        let taken = |group: Group| chosen.map_or(Taken::EveryNth, |chosen| Taken::These(chosen.get(group)));
        let (stem, mut channels) = self.stem.inherit(&from.stem, &[0, 1, 2], taken(Group::Stem), "stem")?;
        let (mut stages, mut laterals) = (Vec::new(), Vec::new());
        let mut neck = Vec::new();
        let mut own_laterals = self.laterals.into_iter().zip(&from.laterals);
        for (index, (stage, from)) in self.stages.into_iter().zip(&from.stages).enumerate() {
            let (stage, outs) =
                stage.inherit(from, &channels, taken(Group::Stage(index)), &Group::Stage(index).to_string())?;
            stages.push(stage);
            if index > 0
                && let Some((lateral, from)) = own_laterals.next()
            {
                let (lateral, outs) = lateral.inherit(from, &outs, taken(Group::Neck), "neck")?;
                laterals.push(lateral);
                neck = outs;
            }
            channels = outs;
        }
        // A level that only this student smooths keeps its initial weights.
        let smooth = self.smooth.into_iter().enumerate().map(|(index, unit)| match from.smooth.get(index) {
            Some(from) => Ok(unit.inherit(from, &neck, Taken::These(&neck), "neck")?.0),
            None => Ok(unit),
        });
        let heads = self.heads.into_iter().zip(&from.heads).enumerate().map(|(place, (head, from))| {
            let towers = [Group::ClassTower(place), Group::BoxTower(place)].map(taken);
            head.inherit(from, &neck, classes, towers)
        });
        Ok(Self {
            stem,
            stages,
            laterals,
            smooth: smooth.collect::<Result<_, _>>()?,
            heads: heads.collect::<Result<_, _>>()?,
        })
    }

    /// Shows each unit that makes channels of a group, with that group.
    pub(in crate::distill) fn each_unit(&self, show: &mut dyn FnMut(Group, &ConvUnit)) {
        show(Group::Stem, &self.stem);
        for (index, stage) in self.stages.iter().enumerate() {
            stage.units().for_each(|unit| show(Group::Stage(index), unit));
        }
        self.laterals.iter().chain(&self.smooth).for_each(|unit| show(Group::Neck, unit));
        for (place, head) in self.heads.iter().enumerate() {
            show(Group::ClassTower(place), &head.class_tower);
            show(Group::BoxTower(place), &head.box_tower);
        }
    }

    /// The same student for inference with every BatchNorm folded into its convolution. Give it a [`Module::valid`] student.
    #[must_use]
    pub fn fold(self) -> Self {
        Self {
            stem: self.stem.fold(),
            stages: self.stages.into_iter().map(Stage::fold).collect(),
            laterals: self.laterals.into_iter().map(ConvUnit::fold).collect(),
            smooth: self.smooth.into_iter().map(ConvUnit::fold).collect(),
            heads: self.heads.into_iter().map(Head::fold).collect(),
        }
    }
}
