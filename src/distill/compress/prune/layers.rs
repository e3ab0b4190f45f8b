//! The student's convolutions as what costs time: which groups they join, and where.

use crate::distill::student::{Channels, Convolution, Group, STRIDES, StudentConfig};

/// One end of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The image, or the outputs: so many channels in any case.
    Fixed(usize),
    /// The channels of a group.
    Of(Group),
}

impl End {
    /// How many channels it has.
    pub fn channels(self, channels: &Channels) -> usize {
        match self {
            Self::Fixed(count) => count,
            Self::Of(group) => *channels.get(group),
        }
    }
}

/// One convolution, or a depthwise one with the pointwise one behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name in the network.
    pub name: String,
    /// What it reads.
    pub ins: End,
    /// What it makes.
    pub outs: End,
    /// Rows and columns of its kernel.
    pub kernel: usize,
    /// Its stride.
    pub stride: usize,
    /// What it is.
    pub convolution: Convolution,
    /// Rows and columns of its input.
    pub grid: [usize; 2],
}

impl Layer {
    /// Multiply-accumulates with so many channels.
    pub fn macs(&self, ins: usize, outs: usize) -> u64 {
        let cells = self.grid.iter().map(|side| side / self.stride).product::<usize>();
        let taps = self.kernel * self.kernel;
        let each = match self.convolution {
            Convolution::Plain => taps * ins * outs,
            Convolution::Depthwise => taps * ins + ins * outs,
        };
        (cells * each) as u64
    }
}

/// The layers of a student, from the image to the outputs.
pub fn layers(config: &StudentConfig) -> Vec<Layer> {
    let widths = config.size.widths();
    let grid = |stride: usize| [config.height / stride, config.width / stride];
    let layer = |name: String,
                 ins: End,
                 outs: End,
                 kernel: usize,
                 stride: usize,
                 at: usize,
                 convolution: Convolution| {
        Layer { name, ins, outs, kernel, stride, convolution, grid: grid(at) }
    };
    let chosen = config.convolution;
    let mut found = vec![layer("stem".into(), End::Fixed(3), End::Of(Group::Stem), 3, 2, 1, Convolution::Plain)];
    let mut before = Group::Stem;
    for (index, depth) in widths.depths.into_iter().enumerate() {
        let (group, at) = (Group::Stage(index), 2 << index);
        found.push(layer(format!("stages.{index}.reduce"), End::Of(before), End::Of(group), 3, 2, at, chosen));
        for unit in 0..depth {
            let name = format!("stages.{index}.refine.{unit}");
            found.push(layer(name, End::Of(group), End::Of(group), 3, 1, 2 * at, chosen));
        }
        before = group;
    }
    let neck = End::Of(Group::Neck);
    for (place, at) in STRIDES.into_iter().enumerate() {
        let stage = End::Of(Group::Stage(place + 1));
        found.push(layer(format!("laterals.{place}"), stage, neck, 1, 1, at, Convolution::Plain));
    }
    // The middle level, and the finest where it is smoothed.
    for (place, at) in [STRIDES[1], STRIDES[0]].into_iter().enumerate().take(1 + usize::from(widths.smooth_finest)) {
        found.push(layer(format!("smooth.{place}"), neck, neck, 3, 1, at, chosen));
    }
    for (place, at) in STRIDES.into_iter().enumerate() {
        let towers = [
            ("class", Group::ClassTower(place), config.classes.len()),
            ("box", Group::BoxTower(place), 4 * config.bins),
        ];
        for (name, group, outputs) in towers {
            let (tower, prediction) =
                (format!("heads.{place}.{name}_tower"), format!("heads.{place}.{name}_prediction"));
            found.push(layer(tower, neck, End::Of(group), 3, 1, at, chosen));
            found.push(layer(prediction, End::Of(group), End::Fixed(outputs), 1, 1, at, Convolution::Plain));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::distill::{
        export::{count_macs, student_graph},
        student::{ByGroup, CameraStudent, Size},
    };

    #[test]
    fn the_layers_are_those_of_the_graph() {
        for (size, convolution) in
            [(Size::Micro, Convolution::Plain), (Size::Base, Convolution::Plain), (Size::Small, Convolution::Depthwise)]
        {
            let usual = StudentConfig { convolution, ..StudentConfig::new(size, vec!["a".into(), "b".into()], 96, 64) };
            let mut count = 3;
            let odd = ByGroup::from_fn(|_| {
                count += 2;
                count
            });
            for config in [usual.clone(), StudentConfig { channels: Some(odd), ..usual }] {
                let student = CameraStudent::new(&config, 1, &Device::flex()).unwrap();
                let graph = count_macs(&student_graph(&student, 96, 64).unwrap());
                let channels = config.group_channels();
                let of = |layer: &Layer| layer.macs(layer.ins.channels(&channels), layer.outs.channels(&channels));
                assert_eq!(Some(layers(&config).iter().map(of).sum::<u64>()), graph.macs, "{size:?}, {convolution:?}");
            }
        }
    }
}
