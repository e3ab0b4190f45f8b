//! Honest splits: training, validation and test are contiguous blocks of time with gaps between them, or whole recordings.
//!
//! Neighbouring frames of a recording look alike; frames drawn at random would put near-copies of the training frames into
//! the test. Within one recording the order is
//!
//! ```text
//! | train ............ | gap | validation | gap | test ........ |
//! ```

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What a frame may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Weights are fitted to it.
    Train,
    /// The best weights are chosen by it.
    Validation,
    /// Measured once, at the end; nothing is ever chosen by it.
    Test,
}

/// How each recording is cut in time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Share of each recording's duration that validates, in `[0, 1)`; it lies before the test block. Default 0.1.
    pub validation: f64,
    /// Share of each recording's duration that tests, in `[0, 1]`; it lies at the end. Default 0.25.
    pub test: f64,
    /// Seconds left out before the validation block and before the test block. Default 2.
    pub gap_seconds: f64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { validation: 0.1, test: 0.25, gap_seconds: 2.0 }
    }
}

/// A split that cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// A share outside its range.
    #[error(
        "split.validation and split.test are shares of the duration: each in 0..1 and together at most 1, but they are {validation} and {test}"
    )]
    Share {
        /// The validation share given.
        validation: f64,
        /// The test share given.
        test: f64,
    },
    /// A gap that is no duration.
    #[error("split.gap_seconds must be a number of seconds >= 0, but it is {0}")]
    Gap(f64),
}

impl SplitConfig {
    /// Says whether the shares and the gap make sense.
    ///
    /// # Errors
    /// [`SplitError`] that names the keys.
    pub fn check(&self) -> Result<(), SplitError> {
        let share = 0.0..=1.0;
        if !share.contains(&self.validation) || !share.contains(&self.test) || self.validation + self.test > 1.0 {
            return Err(SplitError::Share { validation: self.validation, test: self.test });
        }
        if !self.gap_seconds.is_finite() || self.gap_seconds < 0.0 {
            return Err(SplitError::Gap(self.gap_seconds));
        }
        Ok(())
    }
}

/// The blocks of one recording, half-open ranges of header stamps in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    blocks: Vec<(Block, Range<i64>)>,
}

impl Split {
    /// Cuts a recording whose frames' stamps run from `first` to `last` (both inclusive, nanoseconds).
    ///
    /// # Errors
    /// [`SplitError`] when the configuration makes no sense.
    pub fn by_time(config: &SplitConfig, first: i64, last: i64) -> Result<Self, SplitError> {
        config.check()?;
        let end = last.max(first).saturating_add(1);
        let duration = (end as i128 - first as i128) as f64;
        let share = |part: f64| (duration * part).round() as i64;
        let gap = (config.gap_seconds * 1e9).round() as i64;
        let mut blocks = Vec::with_capacity(3);
        // From the end to the start, so that the test block's share is exact and the gaps are paid for by the training block.
        let mut free_until = end;
        for (block, part) in [(Block::Test, config.test), (Block::Validation, config.validation)] {
            if part > 0.0 {
                let start = free_until.saturating_sub(share(part)).max(first);
                blocks.push((block, start..free_until));
                free_until = start.saturating_sub(gap).max(first);
            }
        }
        blocks.push((Block::Train, first..free_until));
        blocks.reverse();
        Ok(Self { blocks })
    }

    /// Gives the whole recording to one block.
    pub fn whole(block: Block) -> Self {
        Self { blocks: vec![(block, i64::MIN..i64::MAX)] }
    }

    /// The block that a frame with this header stamp (nanoseconds) belongs to, `None` in a gap.
    pub fn block_of(&self, stamp: i64) -> Option<Block> {
        self.blocks.iter().find(|(_, range)| range.contains(&stamp)).map(|(block, _)| *block)
    }

    /// The stamps of a block, `None` when it was given no share.
    pub fn range_of(&self, block: Block) -> Option<Range<i64>> {
        self.blocks.iter().find(|(candidate, _)| *candidate == block).map(|(_, range)| range.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn last_quarter_is_test_with_gaps_before() {
        let config = SplitConfig { validation: 0.1, test: 0.25, gap_seconds: 2.0 };
        let split = Split::by_time(&config, 0, 100 * SECOND - 1).unwrap();
        assert_eq!(split.range_of(Block::Test), Some(75 * SECOND..100 * SECOND));
        assert_eq!(split.range_of(Block::Validation), Some(63 * SECOND..73 * SECOND));
        assert_eq!(split.range_of(Block::Train), Some(0..61 * SECOND));
        assert_eq!(split.block_of(74 * SECOND), None);
        assert_eq!(split.block_of(62 * SECOND), None);
        assert_eq!(split.block_of(100 * SECOND - 1), Some(Block::Test));
        assert_eq!(split.block_of(0), Some(Block::Train));
    }

    #[test]
    fn without_a_share_there_is_no_block_and_no_gap() {
        let config = SplitConfig { validation: 0.0, test: 0.5, gap_seconds: 1.0 };
        let split = Split::by_time(&config, 0, 10 * SECOND - 1).unwrap();
        assert_eq!(split.range_of(Block::Validation), None);
        assert_eq!(split.range_of(Block::Train), Some(0..4 * SECOND));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let config = SplitConfig { validation: 0.8, test: 0.5, gap_seconds: 0.0 };
        assert!(Split::by_time(&config, 0, 10).unwrap_err().to_string().contains("split.validation"));
        let config = SplitConfig { gap_seconds: f64::NAN, ..SplitConfig::default() };
        assert!(Split::by_time(&config, 0, 10).unwrap_err().to_string().contains("split.gap_seconds"));
    }

    #[test]
    fn whole_recordings_belong_to_one_block() {
        let split = Split::whole(Block::Test);
        assert_eq!(split.block_of(0), Some(Block::Test));
        assert_eq!(split.block_of(i64::MAX - 1), Some(Block::Test));
    }

    proptest! {
        /// No frame is in two blocks, the blocks keep their order, and frames of different blocks are at least the gap apart.
        #[test]
        fn blocks_are_disjoint_ordered_and_apart(
            validation in 0.0..0.4f64,
            test in 0.0..0.5f64,
            gap_seconds in 0.0..5.0f64,
            first in 0..1_000_000_000_000_000_000i64,
            step_ms in 1..500i64,
            count in 1..400usize,
        ) {
            let config = SplitConfig { validation, test, gap_seconds };
            let stamps: Vec<i64> = (0..count as i64).map(|i| first + i * step_ms * 1_000_000).collect();
            let split = Split::by_time(&config, first, stamps[count - 1]).unwrap();
            let mut previous: Option<(Block, i64)> = None;
            for &stamp in &stamps {
                let hits = split.blocks.iter().filter(|(_, range)| range.contains(&stamp)).count();
                prop_assert!(hits <= 1);
                if let Some(block) = split.block_of(stamp) {
                    if let Some((before, at)) = previous && before != block {
                        prop_assert!(before < block);
                        prop_assert!((stamp - at) as f64 >= gap_seconds * 1e9 - 1.0);
                    }
                    previous = Some((block, stamp));
                }
            }
        }
    }
}
