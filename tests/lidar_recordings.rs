//! Real scans and point clouds through decoding, [`Sweep`] and [`RangeImage`], judged by what independent readers found in them; and
//! the same messages damaged in thousands of ways.
#![cfg(feature = "distill")]

mod support;

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use distilled_perception::{
    distill::{
        bag::{Bag, TopicFilter},
        lidar::export::export_lidar,
    },
    messages::{LaserScan, PointCloud2, PointField},
    model::{
        SessionOptions,
        bundle::BundleMetadata,
        lidar::{LidarDetector, LidarSpec, RangeChannel},
    },
    sensing::range_image::{NONE, RangeGrid, RangeImage, Sweep, is_void},
};
use support::lidar_student::student;

/// Recording, topic, messages, points and echoes as rosbags and numpy count them.
const TOPICS: [(&str, &str, usize, usize, usize); 9] = [
    ("sick_lms1xx_mcap", "/sick_lms_1xx/scan", 89, 48149, 41929),
    ("sick_lms1xx_mcap", "/cloud", 89, 48149, 45804),
    ("luminar_mcap", "/luminar_pointcloud", 5, 180_822, 180_822),
    ("luminar_mcap", "/base_scan", 5, 450, 450),
    ("legs_walk_mcap", "/scan", 1265, 647_680, 216_969),
    ("legs_labelled_1", "/training_scan", 197, 151_296, 126_793),
    ("legs_labelled_2", "/training_scan", 83, 63744, 53012),
    ("legs_labelled_3", "/training_scan", 175, 134_400, 113_901),
    ("legs_labelled_4", "/training_scan", 295, 226_560, 179_994),
];

/// A turn of a Hesai XT32.
const XT32: &str = "lidar/xt32_1673400678101968885.pcd";

/// Points that the XT32 measured with each laser, the lowest first, as numpy sorts them by their elevation in whole degrees.
const XT32_POINTS: [usize; 32] = [
    1985, 1975, 1985, 1983, 1988, 1957, 1933, 1918, 1916, 1887, 1896, 1930, 1963, 1938, 1922, 1960, 2066, 2165, 2110,
    1967, 1870, 1889, 1823, 1866, 1952, 2007, 1997, 2046, 2065, 2044, 2063, 1955,
];

/// Hands out the bytes of every message of a topic.
fn each_message(bag: &Path, topic: &str, mut visit: impl FnMut(&[u8])) {
    let mut messages = Bag::open(bag).unwrap().messages(&TopicFilter::only([topic])).unwrap();
    while let Some(message) = messages.read_next().unwrap() {
        visit(message.data);
    }
    assert!(messages.loss().is_empty(), "{}", messages.loss());
}

/// A message as a sweep with a grid for it: of its beams, or of so many rows and columns.
fn read(bytes: &[u8], is_scan: bool) -> Result<(Sweep, RangeGrid), String> {
    if is_scan {
        let scan = LaserScan::decode(bytes).map_err(|error| error.to_string())?;
        let sweep = Sweep::from_scan(&scan).map_err(|error| error.to_string())?;
        assert_eq!(sweep.len(), scan.ranges.len());
        Ok((sweep, RangeGrid::of_scan(&scan).map_err(|error| error.to_string())?))
    } else {
        let cloud = PointCloud2::decode(bytes).map_err(|error| error.to_string())?;
        let sweep = Sweep::from_cloud(&cloud).map_err(|error| error.to_string())?;
        assert_eq!(sweep.len() as u64, u64::from(cloud.width) * u64::from(cloud.height));
        let grid = RangeGrid::of_sweep(&sweep, 32, 512).map_err(|error| error.to_string())?;
        Ok((sweep, grid))
    }
}

/// Asserts that points and cells name each other, and gives the number of cells with a point.
fn check(sweep: &Sweep, image: &RangeImage) -> usize {
    assert_eq!(image.cell_of_point.len(), sweep.len());
    assert_eq!(image.point_of_cell.len(), image.grid.cells());
    let mut seen = 0;
    for (cell, &point) in image.point_of_cell.iter().enumerate() {
        assert_eq!(point == NONE, image.ranges[cell].is_nan());
        if point != NONE {
            seen += 1;
            assert_eq!(image.cell_of_point[point as usize] as usize, cell);
            assert_eq!(image.points[cell], sweep.points[point as usize]);
        }
    }
    for (point, &cell) in sweep.points.iter().zip(&image.cell_of_point) {
        assert!(cell == NONE || (!is_void(point) && image.point_of_cell[cell as usize] != NONE));
    }
    seen
}

#[test]
fn every_scan_and_cloud_becomes_an_image() {
    let Some(data) = support::test_data("bags") else { return };
    for (bag, topic, messages, points, echoes) in TOPICS {
        let is_scan = topic.ends_with("scan");
        let mut found = (0, 0, 0);
        each_message(&data.join("bags").join(bag), topic, |bytes| {
            let (sweep, grid) = read(bytes, is_scan).unwrap();
            found = (found.0 + 1, found.1 + sweep.len(), found.2 + sweep.valid());
            let image = RangeImage::project(&sweep, &grid);
            let cells = check(&sweep, &image);
            for (point, &cell) in sweep.points.iter().zip(&image.cell_of_point) {
                assert_eq!(is_void(point), cell == NONE, "{bag} {topic}");
            }
            if is_scan {
                let is_column_of_beam = |(beam, &cell): (usize, &u32)| cell == NONE || cell as usize == beam;
                assert!(image.cell_of_point.iter().enumerate().all(is_column_of_beam), "{bag} {topic}");
                assert_eq!(cells, sweep.valid());
            }
        });
        assert_eq!(found, (messages, points, echoes), "{bag} {topic}");
    }
}

/// The driver of the SICK published each scan as a cloud, too: another implementation of the same geometry.
#[test]
fn points_of_scans_are_those_of_the_driver() {
    let Some(data) = support::test_data("bags/sick_lms1xx_mcap") else { return };
    let bag = data.join("bags/sick_lms1xx_mcap");
    let mut scans = BTreeMap::new();
    each_message(&bag, "/sick_lms_1xx/scan", |bytes| {
        let stamp = LaserScan::decode(bytes).unwrap().header.stamp;
        scans.insert(stamp, read(bytes, true).unwrap());
    });
    let (mut clouds, mut compared, mut worst) = (0, 0, 0.0_f32);
    each_message(&bag, "/cloud", |bytes| {
        let stamp = PointCloud2::decode(bytes).unwrap().header.stamp;
        let (cloud, _) = read(bytes, false).unwrap();
        let (scan, grid) = &scans[&stamp];
        assert_eq!(cloud.len(), scan.len());
        assert_eq!(cloud.intensities, scan.intensities);
        let (of_cloud, of_scan) = (RangeImage::project(&cloud, grid), RangeImage::project(scan, grid));
        for (beam, (theirs, ours)) in cloud.points.iter().zip(&scan.points).enumerate() {
            // The cloud also has the echoes from nearer than `range_min`.
            if is_void(theirs) || is_void(ours) {
                continue;
            }
            let apart = theirs.iter().zip(ours).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            worst = worst.max(apart);
            assert_eq!(of_cloud.cell_of_point[beam], of_scan.cell_of_point[beam]);
            compared += 1;
        }
        clouds += 1;
    });
    assert_eq!((clouds, compared), (89, 41929));
    // Up to 25 m, where single precision gives micrometres.
    assert!(worst < 2e-5, "{worst} m");
}

/// What a line of a `.pcd` file's header says.
fn entry<'h>(header: &'h str, key: &str) -> Vec<&'h str> {
    let line = header.lines().find(|line| line.split(' ').next() == Some(key)).unwrap();
    line.split(' ').skip(1).collect()
}

/// A `.pcd` file with binary points, as a message.
fn pcd_cloud(bytes: &[u8]) -> PointCloud2<'_> {
    const LAST_LINE: &[u8] = b"DATA binary\n";
    let header = bytes.windows(LAST_LINE.len()).position(|window| window == LAST_LINE).unwrap();
    let (header, data) = (std::str::from_utf8(&bytes[..header]).unwrap(), &bytes[header + LAST_LINE.len()..]);
    let number = |key: &str| entry(header, key)[0].parse::<u32>().unwrap();
    let (mut fields, mut offset) = (Vec::new(), 0);
    for (place, name) in entry(header, "FIELDS").into_iter().enumerate() {
        let (size, count): (u32, u32) =
            (entry(header, "SIZE")[place].parse().unwrap(), entry(header, "COUNT")[place].parse().unwrap());
        let datatype = match (entry(header, "TYPE")[place], size) {
            ("F", 4) => PointField::FLOAT32,
            ("F", 8) => PointField::FLOAT64,
            ("U", 2) => PointField::UINT16,
            (kind, size) => panic!("{name} has type {kind} of {size} bytes"),
        };
        fields.push(PointField { name, offset, datatype, count });
        offset += size * count;
    }
    let (width, height) = (number("WIDTH"), number("HEIGHT"));
    let row_step = width * offset;
    PointCloud2 { height, width, fields, point_step: offset, row_step, data, ..PointCloud2::default() }
}

/// The same cloud with a further field `ring`, u16.
fn with_rings(cloud: &PointCloud2<'_>, rings: &[u16]) -> Vec<u8> {
    let step = cloud.point_step as usize;
    let point = |(point, ring): (&[u8], &u16)| [point, &ring.to_le_bytes()[..]].concat();
    let data: Vec<u8> = cloud.data.chunks_exact(step).zip(rings).flat_map(point).collect();
    let ring = PointField { name: "ring", offset: cloud.point_step, datatype: PointField::UINT16, count: 1 };
    let fields = cloud.fields.iter().copied().chain([ring]).collect();
    let (height, width, point_step) = (1, rings.len() as u32, cloud.point_step + 2);
    let row_step = width * point_step;
    PointCloud2 { height, width, fields, point_step, row_step, data: &data, ..PointCloud2::default() }.encode()
}

#[test]
fn rows_of_a_spinning_lidar_are_its_lasers() {
    let Some(data) = support::test_data(XT32) else { return };
    let bytes = std::fs::read(data.join(XT32)).unwrap();
    let cloud = pcd_cloud(&bytes);
    let sweep = Sweep::from_cloud(&PointCloud2::decode(&cloud.encode()).unwrap()).unwrap();
    assert_eq!((sweep.len(), sweep.valid()), (63021, 63021));
    let grid = RangeGrid::of_sweep(&sweep, 32, 2000).unwrap();
    assert!(grid.is_full_circle());

    let image = RangeImage::project(&sweep, &grid);
    let cells = check(&sweep, &image);
    // Nearly every direction has an echo, and a few have two.
    assert!((60_500..61_000).contains(&cells), "{cells}");
    let rows: Vec<usize> = image.cell_of_point.iter().map(|cell| *cell as usize / grid.columns).collect();
    let mut points_of_row = [0; 32];
    for (row, [x, y, z]) in rows.iter().zip(&sweep.points) {
        points_of_row[*row] += 1;
        let elevation = z.atan2(x.hypot(*y));
        assert!((elevation - grid.elevation_of(*row)).to_degrees().abs() < 0.07);
    }
    assert_eq!(points_of_row, XT32_POINTS);

    // The maker numbers the lasers from the highest one.
    let rings: Vec<u16> = rows.iter().map(|row| 31 - *row as u16).collect();
    let numbered = with_rings(&cloud, &rings);
    let numbered = Sweep::from_cloud(&PointCloud2::decode(&numbered).unwrap()).unwrap();
    assert_eq!((&numbered.points, &numbered.rings), (&sweep.points, &rings));
    assert_eq!(RangeImage::project(&numbered, &grid).cell_of_point, image.cell_of_point);
}

/// What a robot does with each cloud: a student of 32 rows that learnt nothing labels every point, and groups the votes of some to objects.
#[test]
fn a_student_of_32_rows_runs_on_every_cloud() {
    if !support::onnx_runtime() {
        return;
    }
    let Some(data) = support::test_data(XT32) else { return };
    let bytes = std::fs::read(data.join(XT32)).unwrap();
    let mut clouds = vec![vec![Sweep::from_cloud(&pcd_cloud(&bytes)).unwrap()]];
    let mut luminar = Vec::new();
    each_message(&data.join("bags/luminar_mcap"), "/luminar_pointcloud", |bytes| {
        luminar.push(read(bytes, false).unwrap().0);
    });
    assert_eq!(luminar.len(), 5);
    clouds.push(luminar);
    let folder = tempfile::tempdir().unwrap();
    for sweeps in clouds {
        let grid = RangeGrid::of_sweep(&sweeps[0], 32, 512).unwrap();
        let classes = vec!["person".to_owned(), "car".to_owned()];
        let spec = LidarSpec::new(grid, RangeChannel::cloud(), 100.0, classes);
        let path = folder.path().join("student.onnx");
        export_lidar(&student(&spec), &BundleMetadata::new(spec), &path).unwrap();
        let mut detector = LidarDetector::load(&path, &SessionOptions::default()).unwrap();
        // So that two of a hundred points count, however little the student thinks of them.
        let mut scores: Vec<f32> =
            detector.detect(&sweeps[0]).unwrap().points.iter().map(|label| label.score).collect();
        scores.sort_by(f32::total_cmp);
        detector.set_score_threshold(Some(scores[scores.len() * 98 / 100]));
        let mut objects = 0;
        for sweep in &sweeps {
            let found = detector.detect(sweep).unwrap();
            assert_eq!((found.points.len(), found.skipped), (sweep.len(), 0));
            for (point, label) in sweep.points.iter().zip(&found.points) {
                assert!(label.object.is_none_or(|object| (object as usize) < found.objects.len()));
                assert!(!is_void(point) || (label.score == 0.0 && label.class.is_none()), "{point:?}: {label:?}");
            }
            let seen = found.points.iter().filter(|label| label.score > 0.0).count();
            assert!(seen * 10 >= sweep.valid(), "{seen} of {} points are seen", sweep.valid());
            for object in &found.objects {
                assert!(object.center.iter().all(|value| value.is_finite()) && object.points > 0, "{object:?}");
                assert!(object.size.iter().all(|side| side.is_finite() && *side > 0.0), "{object:?}");
            }
            objects += found.objects.len();
        }
        assert!(objects > 0, "no point of {} sweeps voted", sweeps.len());
    }
}

/// Numbers that only look random (xorshift64*).
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

/// Changes a message in a few places, mostly in front, where its sizes and names are.
fn damage(message: &[u8], noise: &mut Noise) -> Vec<u8> {
    const NUMBERS: [u32; 10] =
        [0, 1, 2, 255, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x7F80_0000, 0x7FC0_0000, 0x0000_8000];
    let mut bytes = message.to_vec();
    for _ in 0..1 + noise.below(4) {
        let front = if noise.below(4) > 0 { bytes.len().min(220) } else { bytes.len() };
        let place = noise.below(front);
        match noise.below(8) {
            0..3 => bytes[place] = noise.below(256) as u8,
            3..6 => {
                let start = place / 4 * 4;
                let number = NUMBERS[noise.below(NUMBERS.len())].to_le_bytes();
                let end = bytes.len().min(start + 4);
                bytes[start..end].copy_from_slice(&number[..end - start]);
            }
            6 => bytes[place] ^= 1_u8 << noise.below(8),
            _ => {
                let cut = noise.below(bytes.len());
                bytes.truncate(cut.max(1));
            }
        }
    }
    bytes
}

/// The first message of a topic.
fn first_message(bag: &Path, topic: &str) -> Vec<u8> {
    let mut messages = Bag::open(bag).unwrap().messages(&TopicFilter::only([topic])).unwrap();
    messages.read_next().unwrap().unwrap().data.to_vec()
}

/// The first points of a cloud.
fn cut_cloud(message: &[u8], width: u32) -> Vec<u8> {
    let cloud = PointCloud2::decode(message).unwrap();
    let data = &cloud.data[..(width * cloud.point_step) as usize];
    PointCloud2 { width, row_step: width * cloud.point_step, data, ..cloud }.encode()
}

#[test]
fn no_damage_to_a_real_message_makes_anything_panic() {
    let Some(data) = support::test_data("bags") else { return };
    let bags = data.join("bags");
    let (sick, luminar) = (bags.join("sick_lms1xx_mcap"), bags.join("luminar_mcap"));
    let luminar = cut_cloud(&first_message(&luminar, "/luminar_pointcloud"), 400);
    let rings: Vec<u16> = (0..400).map(|point| point % 32).collect();
    let messages = [
        (first_message(&sick, "/sick_lms_1xx/scan"), true),
        (first_message(&bags.join("legs_walk_mcap"), "/scan"), true),
        (first_message(&sick, "/cloud"), false),
        (with_rings(&PointCloud2::decode(&luminar).unwrap(), &rings), false),
        (luminar, false),
    ];
    let mut noise = Noise(0x5EED);
    let (mut images, mut refusals) = (0, HashSet::new());
    for _ in 0..2000 {
        for (message, is_scan) in &messages {
            match read(&damage(message, &mut noise), *is_scan) {
                Ok((sweep, grid)) => {
                    check(&sweep, &RangeImage::project(&sweep, &grid));
                    images += 1;
                }
                Err(text) => {
                    refusals.insert(text);
                }
            }
        }
    }
    // Much is only other numbers, and what is refused is refused for many reasons.
    assert!(images > 1000, "{images}");
    for reason in ["ends within field", "has no field", "has datatype", "`point_step` is", "`data` of the point cloud"]
    {
        assert!(refusals.iter().any(|text| text.contains(reason)), "never `{reason}`");
    }
}
