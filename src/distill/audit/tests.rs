//! Audits of made-up labellings whose faults are known.

use super::*;
use crate::{
    distill::{
        targets::{FrameTargets, PictureStatistics, SoftBox, SourceProvenance},
        teacher::TeacherProvenance,
    },
    geometry::Box2,
    metrics::{Demand, TruthBox},
    model::{HeadFormat, InputSpec, ModelSpec},
};

const FRAMES: u64 = 100;

fn soft(x: f32, score: f32) -> SoftBox {
    SoftBox { bbox: Box2::new(x, 100.0, x + 40.0, 180.0), probabilities: vec![score, 0.01], weight: 1.0 }
}

/// One frame every 0.1 s of 640 x 360 pixels, becoming brighter from frame to frame.
pub(super) fn frame(index: u64, per_teacher: Vec<Vec<SoftBox>>) -> FrameTargets {
    FrameTargets {
        source: 0,
        index,
        name: index.to_string(),
        stamp: 1_700_000_000_000_000_000 + 100_000_000 * index as i64,
        width: 640,
        height: 360,
        picture: PictureStatistics { brightness: 20.0 + index as f32, blur: 50.0 },
        boxes: vec![],
        per_teacher,
    }
}

fn teacher(name: &str, classes: &[&str]) -> TeacherProvenance {
    let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
    TeacherProvenance {
        name: name.into(),
        path: format!("{name}.onnx"),
        sha256: String::new(),
        trust: 1.0,
        class_map: names.iter().map(|class| (class.clone(), class.clone())).collect(),
        spec: ModelSpec::new(InputSpec::default(), HeadFormat::Yolox, names),
    }
}

/// A labelling of persons and pallets; `say` gives each teacher's boxes in a frame.
fn targets(teachers: Vec<TeacherProvenance>, say: impl Fn(u64) -> Vec<Vec<SoftBox>>) -> TargetSet {
    let source = SourceProvenance { path: "hall.mcap".into(), topic: None, bytes: 1, fingerprint: String::new() };
    TargetSet {
        classes: vec!["person".into(), "pallet".into()],
        teachers,
        sources: vec![source],
        config_hash: "c0ffee".into(),
        frames: (0..FRAMES).map(|index| frame(index, say(index))).collect(),
    }
}

fn three_teachers() -> Vec<TeacherProvenance> {
    vec![teacher("solid", &["person"]), teacher("steady", &["person"]), teacher("odd", &["person", "pallet"])]
}

/// All see the one person; the odd one sees three more that are not there. Truth, where it is wanted, is known of all frames.
pub(in crate::distill) fn example(with_truth: bool) -> Audit {
    let set = targets(three_teachers(), |index| {
        let ghosts = (0..3).map(|n| soft(200.0 + 100.0 * n as f32 + (index % 7) as f32, 0.5));
        let odd = std::iter::once(soft(101.0, 0.8)).chain(ghosts).collect();
        vec![vec![soft(100.0, 0.9)], vec![soft(102.0, 0.7)], odd]
    });
    let person = TruthBox { bbox: soft(100.0, 0.0).bbox, class: 0, demand: Demand::Required };
    let truth: TruthFrames = (0..FRAMES).map(|index| ((0, index), vec![person.clone()])).collect();
    audit(&set, with_truth.then_some(&truth), AuditOptions::default())
}

fn kinds(audit: &Audit, teacher: &str) -> Vec<FindingKind> {
    audit.findings.iter().filter(|finding| finding.teacher == teacher).map(|finding| finding.kind).collect()
}

#[test]
fn a_teacher_that_invents_boxes_is_named_and_trusted_less() {
    let audit = example(false);
    assert_eq!((audit.judged_by, audit.truth_frames, audit.frames), (JudgedBy::Agreement, 0, 100));
    let [solid, steady, odd] = &audit.teachers[..] else { panic!("{}", audit.teachers.len()) };
    assert_eq!((solid.agreement, solid.agreed_recall), (Some(1.0), Some(1.0)));
    assert_eq!(steady.agreement, Some(1.0));
    // What the odd one sees alone counts against those who miss it, as far as it is trusted itself.
    assert!(solid.proposed_trust > Some(0.9) && steady.proposed_trust > Some(0.9), "{:?}", solid.proposed_trust);
    assert_eq!((odd.detections, odd.agreement, odd.agreed_recall), (400, Some(0.25), Some(1.0)));
    assert!(odd.proposed_trust < Some(0.7), "{:?}", odd.proposed_trust);
    let person = &odd.classes[0];
    assert_eq!((person.others, person.confident, person.agreed), (2, 400, 100));
    assert!(person.mean_iou.unwrap() > 0.9);
    assert_eq!(solid.classes.len(), 1, "it does not know pallets");
    let found = kinds(&audit, "odd");
    assert!(found.contains(&FindingKind::Unconfirmed) && found.contains(&FindingKind::Trust), "{found:?}");
    let text = &audit.findings.iter().find(|finding| finding.kind == FindingKind::Unconfirmed).unwrap().text;
    assert_eq!(text, "odd: person: only 25 % of its boxes are confirmed by others");
    assert_eq!(kinds(&audit, "solid"), [], "{:?}", audit.findings);
}

#[test]
fn truth_judges_where_there_is_some() {
    // All agree on a box that is not there; only the truth can tell.
    let set = targets(three_teachers(), |_| {
        let both = |score| vec![soft(100.0, score), soft(300.0, 0.6)];
        vec![both(0.9), both(0.8), vec![soft(100.0, 0.7)]]
    });
    let object = TruthBox { bbox: Box2::new(100.0, 100.0, 140.0, 180.0), class: 0, demand: Demand::Required };
    let truth: TruthFrames = (0..50).map(|index| ((0, index), vec![object.clone()])).collect();
    let by_truth = audit(&set, Some(&truth), AuditOptions::default());
    assert_eq!((by_truth.judged_by, by_truth.truth_frames, by_truth.truths), (JudgedBy::Truth, 50, 50));
    let [solid, _, odd] = &by_truth.teachers[..] else { panic!("{}", by_truth.teachers.len()) };
    assert_eq!((solid.classes[0].precision, solid.classes[0].recall), (Some(0.5), Some(1.0)));
    assert_eq!((odd.classes[0].precision, odd.classes[0].truths), (Some(1.0), 50));
    let figures = odd.truth.as_ref().unwrap();
    assert!((figures.ap50.unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(figures.confusion, [[50, 0, 0], [0, 0, 0], [0, 0, 0]]);
    assert_eq!(solid.truth.as_ref().unwrap().confusion[2], [50, 0, 0]);
    // 50 boxes of 0.9 that are right and 50 of 0.6 that are wrong.
    assert!((solid.calibration.ece.unwrap() - 0.35).abs() < 1e-6, "{:?}", solid.calibration);
    let by_agreement = audit(&set, None, AuditOptions::default());
    assert_eq!(by_agreement.teachers[0].truth, None);
    assert_eq!(by_agreement.teachers[0].agreement, Some(0.75));
}

#[test]
fn a_perfectly_calibrated_teacher_has_no_calibration_error() {
    // Boxes of 0.05, 0.15 ... 0.95; of each score so many in a hundred frames are true.
    let set = targets(vec![teacher("honest", &["person"])], |_| {
        vec![(0..10).map(|n| soft(60.0 * n as f32, n as f32 / 10.0 + 0.05)).collect()]
    });
    let truth: TruthFrames = (0..FRAMES)
        .map(|index| {
            let there = (0..10u64).filter(|n| index < 10 * n + 5);
            let object =
                |n: u64| TruthBox { bbox: soft(60.0 * n as f32, 0.0).bbox, class: 0, demand: Demand::Required };
            ((0, index), there.map(object).collect())
        })
        .collect();
    let audit = audit(&set, Some(&truth), AuditOptions::default());
    let calibration = &audit.teachers[0].calibration;
    assert_eq!(calibration.counted, 900, "those of 0.05 do not count");
    assert!(calibration.ece.unwrap() < 1e-3, "{calibration:?}");
    assert!(calibration.bins.iter().all(|bin| bin.count == 100), "{calibration:?}");
    assert!(!kinds(&audit, "honest").contains(&FindingKind::Uncalibrated));
}

#[test]
fn a_teacher_that_drifts_is_named_and_a_scene_that_changes_is_not() {
    let set = targets(three_teachers(), |index| {
        let fading = 0.9 - 0.005 * index as f32;
        vec![vec![soft(100.0, 0.8)], vec![soft(100.0, 0.8)], vec![soft(100.0, fading)]]
    });
    let drifting = audit(&set, None, AuditOptions::default());
    let odd = &drifting.teachers[2];
    assert_eq!(odd.drift.len(), 1);
    assert_eq!(odd.drift[0].slices.len(), 20);
    assert!(odd.drift[0].slices.iter().all(|slice| slice.frames == 5));
    let trend = odd.drift[0].score.unwrap();
    assert!((trend.change + 0.5).abs() < 0.02 && trend.standard_errors() > 10.0, "{trend:?}");
    assert!(kinds(&drifting, "odd").contains(&FindingKind::Drifting), "{:?}", drifting.findings);
    assert!(!kinds(&drifting, "solid").contains(&FindingKind::Drifting), "{:?}", drifting.findings);
    // More and more persons, fainter and fainter, and all teachers say so.
    let set = targets(three_teachers(), |index| {
        let boxes = (0..=index / 25).map(|n| soft(100.0 * n as f32, 0.9 - 0.005 * index as f32)).collect::<Vec<_>>();
        vec![boxes.clone(), boxes.clone(), boxes]
    });
    let changing = audit(&set, None, AuditOptions::default());
    assert!(changing.teachers[2].drift[0].count.unwrap().change > 2.0);
    assert_eq!(changing.teachers[2].drift[0].excess.unwrap().change, 0.0);
    assert!(changing.findings.iter().all(|finding| finding.kind != FindingKind::Drifting), "{:?}", changing.findings);
}

#[test]
fn a_teacher_that_fails_in_the_dark_is_named() {
    // In the darkest fifth the odd one sees ghosts instead of the person.
    let set = targets(three_teachers(), |index| {
        let odd = soft(if index < 20 { 400.0 } else { 100.0 }, 0.8);
        vec![vec![soft(100.0, 0.8)], vec![soft(100.0, 0.8)], vec![odd]]
    });
    let audit = audit(&set, None, AuditOptions::default());
    let brightness = &audit.teachers[2].dependence[0];
    assert_eq!((brightness.factor, brightness.bins.len()), (Factor::Brightness, 5));
    assert_eq!((brightness.bins[0].agreement, brightness.bins[4].agreement), (Some(0.0), Some(1.0)));
    assert_eq!(audit.teachers[2].dependence[3].bins.len(), 9);
    let text = audit.findings.iter().find(|finding| finding.text.contains("brightness")).unwrap();
    assert_eq!((text.teacher.as_str(), text.kind), ("odd", FindingKind::Dependent));
    assert!(text.text.contains("only 0 %") && text.text.contains("of all 80 %"), "{}", text.text);
}

/// A box of a pallet.
fn pallet(x: f32, score: f32) -> SoftBox {
    SoftBox { probabilities: vec![0.01, score], ..soft(x, score) }
}

#[test]
fn drift_of_a_class_in_one_recording_hides_none_of_all_in_another() {
    let teachers = ["solid", "odd", "third"].map(|name| teacher(name, &["person", "pallet"])).into();
    let say = |fade: fn(f32) -> [f32; 2]| {
        move |index: u64| {
            let [of_person, of_pallet] = fade(index as f32 / FRAMES as f32);
            let good = vec![soft(100.0, 0.8), pallet(400.0, 0.8)];
            vec![good.clone(), vec![soft(100.0, of_person), pallet(400.0, of_pallet)], good]
        }
    };
    // Pallets fade in the first recording. In the second there are too few boxes of each class to say so of one, enough of both.
    let mut set: TargetSet = targets(teachers, say(|time| [0.8, 0.9 - 0.5 * time]));
    let second = say(|time| [0.9 - 0.5 * time; 2]);
    set.sources.push(set.sources[0].clone());
    for index in 0..FRAMES {
        let mut boxes = second(index);
        let shown = index % 10 < 3;
        for (number, teacher) in boxes.iter_mut().enumerate() {
            let mut place = 0;
            teacher.retain(|_| {
                place += 1;
                number != 1 || (shown && (index / 10 + place) % 2 == 0)
            });
        }
        set.frames.push(FrameTargets { source: 1, ..frame(index, boxes) });
    }
    let audit = audit(&set, None, AuditOptions::default());
    let told: Vec<(Option<&str>, bool)> = audit
        .findings
        .iter()
        .filter(|finding| finding.kind == FindingKind::Drifting && finding.text.contains("mean score"))
        .map(|finding| (finding.class.as_deref(), finding.text.contains("of recording 2")))
        .collect();
    assert_eq!(told, [(Some("pallet"), false), (None, true)], "{:?}", audit.findings);
}

#[test]
fn a_teacher_good_in_one_class_and_drifting_in_another_is_told_per_class() {
    let teachers = ["solid", "odd", "third"].map(|name| teacher(name, &["person", "pallet"])).into();
    let set = targets(teachers, |index| {
        let good = vec![soft(100.0, 0.8), pallet(400.0, 0.8)];
        let fading = vec![soft(100.0, 0.8), pallet(400.0, 0.9 - 0.005 * index as f32)];
        vec![good.clone(), fading, good]
    });
    let audit = audit(&set, None, AuditOptions::default());
    let drifting = |audit: &Audit| -> Vec<(String, Option<String>)> {
        let found = audit.findings.iter().filter(|finding| finding.kind == FindingKind::Drifting);
        found.map(|finding| (finding.teacher.clone(), finding.class.clone())).collect()
    };
    // All boxes together change as well, by half as much; that is not told again.
    assert!(audit.teachers[1].drift[0].score.unwrap().change < -0.2);
    assert_eq!(drifting(&audit), [("odd".to_owned(), Some("pallet".to_owned()))], "{:?}", audit.findings);
    let text = &audit.findings.iter().find(|finding| finding.kind == FindingKind::Drifting).unwrap().text;
    assert!(text.starts_with("odd: pallet: its mean score changes by -0.5"), "{text}");
    let [person, pallet] = &audit.teachers[1].classes[..] else { panic!("two classes") };
    let change = |class: &ClassAudit| class.drift[0].score.unwrap().change;
    assert!(change(person).abs() < 1e-6 && (change(pallet) + 0.5).abs() < 0.02);
    for class in [person, pallet] {
        assert_eq!(class.drift[0].slices.iter().map(|slice| slice.boxes_per_frame).sum::<f64>(), 20.0);
        assert_eq!(class.drift[0].excess.unwrap().change, 0.0);
        let calibration = class.calibration.as_ref().unwrap();
        assert_eq!((calibration.bins.iter().map(|bin| bin.count).sum::<usize>(), calibration.ece), (100, class.ece));
    }
    // The scores of persons lie in one bin, those of the fading pallets in several.
    let filled = |class: &ClassAudit| {
        class.calibration.as_ref().map_or(0, |calibration| calibration.bins.iter().filter(|bin| bin.count > 0).count())
    };
    assert!(filled(person) == 1 && filled(pallet) >= 4, "{person:?} {pallet:?}");
    let text = audit.to_text();
    let words = ["odd", "pallet", "-0.50 +- 0.00"];
    assert!(text.lines().any(|line| words.iter().all(|word| line.contains(word))), "{text}");
}

#[test]
fn a_teacher_that_misplaces_one_class_in_the_dark_is_told_per_class() {
    let teachers = ["solid", "odd", "third"].map(|name| teacher(name, &["person", "pallet"])).into();
    let set = targets(teachers, |index| {
        let good = vec![soft(100.0, 0.8), pallet(400.0, 0.8)];
        let odd = vec![soft(100.0, 0.8), pallet(if index < 20 { 550.0 } else { 400.0 }, 0.8)];
        vec![good.clone(), odd, good]
    });
    let audit = audit(&set, None, AuditOptions::default());
    let [person, pallet] = &audit.teachers[1].classes[..] else { panic!("two classes") };
    let shares = |class: &ClassAudit| class.dependence[0].bins.iter().map(|bin| bin.agreement).collect::<Vec<_>>();
    assert_eq!(shares(person), [Some(1.0); 5]);
    assert_eq!(shares(pallet), [Some(0.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0)]);
    let places = |class: &ClassAudit| -> Vec<(String, usize)> {
        let bins = class.dependence[3].bins.iter().filter(|bin| bin.boxes > 0);
        bins.map(|bin| (bin.range.clone(), bin.boxes)).collect()
    };
    assert_eq!(places(person), [("middle left".to_owned(), 100)]);
    // 550 to 590 lie in the last third, 400 to 440 in the second.
    assert_eq!(places(pallet), [("middle centre".to_owned(), 80), ("middle right".to_owned(), 20)]);
    // Of all its boxes in the dark half are confirmed: that alone would not stand out.
    assert_eq!(audit.teachers[1].dependence[0].bins[0].agreement, Some(0.5));
    let told: Vec<&Finding> = audit.findings.iter().filter(|finding| finding.text.contains("brightness")).collect();
    assert_eq!((told.len(), told[0].teacher.as_str(), told[0].class.as_deref()), (1, "odd", Some("pallet")));
}

#[test]
fn audits_of_earlier_versions_read_without_the_classes_conditions() {
    let mut json = serde_json::to_value(example(true)).unwrap();
    for teacher in json["teachers"].as_array_mut().unwrap() {
        for class in teacher["classes"].as_array_mut().unwrap() {
            for key in ["calibration", "drift", "dependence"] {
                assert!(class.as_object_mut().unwrap().remove(key).is_some(), "{key}");
            }
        }
    }
    let old: Audit = serde_json::from_value(json).unwrap();
    let class = &old.teachers[0].classes[0];
    assert!(class.calibration.is_none() && class.drift.is_empty() && class.dependence.is_empty());
    assert!(old.class_conditions_table().rows.is_empty() && !example(true).class_conditions_table().rows.is_empty());
    assert_eq!(old.teachers[0].drift, example(true).teachers[0].drift);
}

#[test]
fn nobody_can_judge_a_lonely_teacher_and_the_json_keeps_everything() {
    let set = targets(three_teachers(), |_| {
        let mut pallet = soft(300.0, 0.01);
        pallet.probabilities = vec![0.01, 0.7];
        vec![vec![soft(100.0, 0.8)], vec![], vec![soft(100.0, 0.8), pallet]]
    });
    let audit = audit(&set, None, AuditOptions::default());
    let pallets = &audit.teachers[2].classes[1];
    assert_eq!((pallets.others, pallets.agreement, pallets.confident), (0, None, 100));
    assert!(kinds(&audit, "odd").contains(&FindingKind::Unjudged), "{:?}", audit.findings);
    let json = serde_json::to_string(&audit).unwrap();
    assert!(json.contains("\"judged_by\":\"agreement\""), "{json}");
    assert_eq!(serde_json::from_str::<Audit>(&json).unwrap(), audit);
    let nothing = super::audit(&targets(vec![], |_| vec![]), None, AuditOptions::default());
    assert!(nothing.teachers.is_empty() && nothing.findings.is_empty());
}
