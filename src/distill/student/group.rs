//! The student's channel groups: channels that can only be there, or be cut out, together, because what they belong to is added.
//!
//! | group | made by | read by |
//! |---|---|---|
//! | stem | the first convolution | the first stage |
//! | a stage | its strided convolution and its residual units, whose sum it is | the next stage and its own lateral convolution |
//! | neck | lateral and smoothing convolutions, which the top-down sums join | the heads' towers |
//! | a class or box tower | its convolution | its prediction |
//!
//! A depthwise convolution has the channels of its input and goes with them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AnchorPoint, STRIDES, Size};

/// A channel group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// After the first convolution.
    Stem,
    /// A stage of the backbone, from 0.
    Stage(usize),
    /// All levels of the neck.
    Neck,
    /// The class tower of a stride, by its place in [`STRIDES`].
    ClassTower(usize),
    /// The box tower of a stride, by its place in [`STRIDES`].
    BoxTower(usize),
}

impl Group {
    /// All of them, from the image to the outputs.
    pub const ALL: [Self; 12] = [
        Self::Stem,
        Self::Stage(0),
        Self::Stage(1),
        Self::Stage(2),
        Self::Stage(3),
        Self::Neck,
        Self::ClassTower(0),
        Self::ClassTower(1),
        Self::ClassTower(2),
        Self::BoxTower(0),
        Self::BoxTower(1),
        Self::BoxTower(2),
    ];
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stem => f.write_str("stem"),
            Self::Stage(index) => write!(f, "{}", AnchorPoint::of_stage(index)),
            Self::Neck => f.write_str("neck"),
            Self::ClassTower(place) => write!(f, "class_tower_{}", STRIDES[place]),
            Self::BoxTower(place) => write!(f, "box_tower_{}", STRIDES[place]),
        }
    }
}

/// Something for each [`Group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByGroup<T> {
    /// Of [`Group::Stem`].
    pub stem: T,
    /// Of each [`Group::Stage`], at strides 4, 8, 16, 32.
    pub stages: [T; 4],
    /// Of [`Group::Neck`].
    pub neck: T,
    /// Of each [`Group::ClassTower`], at strides 8, 16, 32.
    pub class_towers: [T; 3],
    /// Of each [`Group::BoxTower`], at strides 8, 16, 32.
    pub box_towers: [T; 3],
}

/// How many channels each group has.
pub type Channels = ByGroup<usize>;

impl<T> ByGroup<T> {
    /// What `make` gives for each group, in the order of [`Group::ALL`].
    pub fn from_fn(mut make: impl FnMut(Group) -> T) -> Self {
        Self {
            stem: make(Group::Stem),
            stages: std::array::from_fn(|index| make(Group::Stage(index))),
            neck: make(Group::Neck),
            class_towers: std::array::from_fn(|place| make(Group::ClassTower(place))),
            box_towers: std::array::from_fn(|place| make(Group::BoxTower(place))),
        }
    }

    /// Of one group.
    pub fn get(&self, group: Group) -> &T {
        match group {
            Group::Stem => &self.stem,
            Group::Stage(index) => &self.stages[index],
            Group::Neck => &self.neck,
            Group::ClassTower(place) => &self.class_towers[place],
            Group::BoxTower(place) => &self.box_towers[place],
        }
    }

    /// Of one group, to be changed.
    pub fn get_mut(&mut self, group: Group) -> &mut T {
        match group {
            Group::Stem => &mut self.stem,
            Group::Stage(index) => &mut self.stages[index],
            Group::Neck => &mut self.neck,
            Group::ClassTower(place) => &mut self.class_towers[place],
            Group::BoxTower(place) => &mut self.box_towers[place],
        }
    }
}

impl Channels {
    /// The channels of a size: towers are as wide as the neck.
    pub fn of(size: Size) -> Self {
        let widths = size.widths();
        let towers = [widths.neck; 3];
        Self { stem: widths.stem, stages: widths.stages, neck: widths.neck, class_towers: towers, box_towers: towers }
    }
}

impl fmt::Display for Channels {
    /// From the image to the outputs, as in `16 | 24 40 64 96 | 32 | 32 32 32 | 32 32 32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |counts: &[usize]| counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let [stages, classes, boxes] = [row(&self.stages), row(&self.class_towers), row(&self.box_towers)];
        write!(f, "{} | {stages} | {} | {classes} | {boxes}", self.stem, self.neck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_own_place() {
        let mut places = ByGroup::from_fn(|group| group);
        for group in Group::ALL {
            assert_eq!(*places.get(group), group);
            *places.get_mut(group) = Group::Neck;
        }
        assert_eq!(places, ByGroup::from_fn(|_| Group::Neck));
        let names: std::collections::BTreeSet<String> = Group::ALL.iter().map(ToString::to_string).collect();
        assert!(names.len() == 12 && names.contains("stage_32") && names.contains("box_tower_8"), "{names:?}");
    }

    #[test]
    fn yaml_names_every_group() {
        let text = "{stem: 12, stages: [20, 33, 50, 70], neck: 27, class_towers: [24, 30, 32], box_towers: [8, 9, 10]}";
        let channels: Channels = serde_yaml::from_str(text).unwrap();
        assert_eq!(channels.to_string(), "12 | 20 33 50 70 | 27 | 24 30 32 | 8 9 10");
        assert!(serde_yaml::from_str::<Channels>("{stem: 12}").is_err());
        assert_eq!(Channels::of(Size::Micro).to_string(), "16 | 24 40 64 96 | 32 | 32 32 32 | 32 32 32");
    }
}
