//! Why a training waited for its batches, in words.

/// Above this share of its time a training should not wait.
const MUCH: f64 = 0.02;

/// What prepares the batches of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// So many threads, `train.workers`, each with teachers that look at every image.
    Teachers(usize),
    /// So many threads, `train.workers`.
    Workers(usize),
    /// Threads whose number no key of the experiment changes.
    Fixed,
}

/// The reason and the mend of a training that waited this share of its time for batches, on one line; none for one that hardly
/// waited.
pub fn waiting_advice(share: f64, preparation: Preparation) -> Option<String> {
    if share <= MUCH {
        return None;
    }
    let reason = match preparation {
        Preparation::Teachers(workers) => format!(
            "teachers look at every training image in every epoch; take fewer or smaller teachers, do without terms on them and \
             `relabel`, or raise train.workers ({workers} now) where cores are idle"
        ),
        Preparation::Workers(workers) => format!(
            "{workers} {} could not prepare images in time; raise train.workers, or end what else uses this machine's cores (an epoch \
             of few batches always waits for its first one)",
            if workers == 1 { "thread" } else { "threads" }
        ),
        Preparation::Fixed => {
            "sweeps were not prepared in time; end what else uses this machine's cores (an epoch of few batches \
                               always waits for its first one)"
                .to_owned()
        }
    };
    Some(format!("waited {:.1} % of the time, more than {:.0} %: {reason}", 100.0 * share, 100.0 * MUCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_teachers_before_the_workers() {
        let told = |preparation| waiting_advice(0.314, preparation).unwrap();
        let teachers = told(Preparation::Teachers(2));
        assert!(teachers.starts_with("waited 31.4 % of the time, more than 2 %: teachers look"), "{teachers}");
        assert!(teachers.contains("train.workers (2 now)") && teachers.contains("`relabel`"), "{teachers}");
        let workers = told(Preparation::Workers(1));
        assert!(workers.contains("1 thread could") && workers.contains("raise train.workers"), "{workers}");
        assert!(!workers.contains("teachers"), "{workers}");
        assert!(told(Preparation::Workers(3)).contains("3 threads could"));
        let fixed = told(Preparation::Fixed);
        assert!(fixed.contains("sweeps") && !fixed.contains("train.workers"), "refused in lidar experiments: {fixed}");
        assert!([teachers, workers, fixed].iter().all(|line| line.lines().count() == 1));
    }

    #[test]
    fn who_hardly_waits_is_told_nothing() {
        for preparation in [Preparation::Teachers(1), Preparation::Workers(1), Preparation::Fixed] {
            assert_eq!(waiting_advice(0.02, preparation), None);
            assert!(waiting_advice(0.021, preparation).is_some());
        }
    }
}
