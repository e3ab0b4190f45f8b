//! Truth boxes from a COCO `instances` file (<https://cocodataset.org/#format-data>).

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::BufReader,
    path::Path,
};

use serde::{Deserialize, de::IgnoredAny};

use super::{BagError, TruthBox};
use crate::geometry::Box2;

#[derive(Deserialize)]
struct Instances {
    images: Vec<CocoImage>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    /// Left, top, width, height in pixels.
    bbox: [f32; 4],
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// The truth boxes of a COCO file by image name.
#[derive(Debug, Default)]
pub(super) struct Coco {
    boxes: HashMap<String, Vec<TruthBox>>,
    /// Category names in the order of their ids.
    pub(super) classes: Vec<String>,
    by_short_name: HashMap<String, Option<String>>,
    asked: BTreeSet<String>,
}

/// What an image goes by when its path differs: the file name without folders and extension.
fn short_name(name: &str) -> String {
    Path::new(name).file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

impl Coco {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub(super) fn read(path: &Path) -> Result<Self, BagError> {
        let refuse = |reason: String| BagError::Coco { path: path.into(), reason };
        let file = File::open(path).map_err(|error| BagError::io(path, error))?;
        let mut instances: Instances =
            serde_json::from_reader(BufReader::new(file)).map_err(|error| refuse(error.to_string()))?;
        instances.categories.sort_by_key(|category| category.id);
        let classes: HashMap<u64, &str> =
            instances.categories.iter().map(|category| (category.id, category.name.as_str())).collect();
        let images: HashMap<u64, &str> =
            instances.images.iter().map(|image| (image.id, image.file_name.as_str())).collect();
        let mut boxes: HashMap<String, Vec<TruthBox>> =
            instances.images.iter().map(|image| (image.file_name.clone(), Vec::new())).collect();
        if boxes.len() != instances.images.len() || images.len() != instances.images.len() {
            return Err(refuse("two `images` have the same `file_name` or `id`".into()));
        }
        for (index, annotation) in instances.annotations.iter().enumerate() {
            let Annotation { image_id, category_id, bbox: [x, y, width, height], iscrowd } = *annotation;
            let image = images
                .get(&image_id)
                .ok_or_else(|| refuse(format!("`annotations[{index}].image_id` {image_id} is no image's `id`")))?;
            let class = classes.get(&category_id).ok_or_else(|| {
                refuse(format!("`annotations[{index}].category_id` {category_id} is no category's `id`"))
            })?;
            if ![x, y, width, height].iter().all(|v| v.is_finite()) || width < 0.0 || height < 0.0 {
                return Err(refuse(format!("`annotations[{index}].bbox` is no box: {:?}", annotation.bbox)));
            }
            let bbox = Box2::new(x, y, x + width, y + height);
            let truth = TruthBox { bbox, class: (*class).to_owned(), crowd: iscrowd != 0 };
            boxes.entry((*image).to_owned()).or_default().push(truth);
        }
        let mut by_short_name: HashMap<String, Option<String>> = HashMap::new();
        for name in boxes.keys() {
            by_short_name
                .entry(short_name(name))
                .and_modify(|known| *known = None)
                .or_insert_with(|| Some(name.clone()));
        }
        let classes = instances.categories.into_iter().map(|category| category.name).collect();
        Ok(Self { boxes, classes, by_short_name, asked: BTreeSet::new() })
    }

    /// The image's boxes; `None` when the file does not know the image. Images are found by their path, or by their file name
    /// alone where that is unique.
    pub(super) fn truth(&mut self, name: &str) -> Option<Vec<TruthBox>> {
        let known = if self.boxes.contains_key(name) {
            name.to_owned()
        } else {
            self.by_short_name.get(&short_name(name))?.clone()?
        };
        let boxes = self.boxes.get(&known).cloned();
        self.asked.insert(known);
        boxes
    }

    /// The images that the file knows and nobody has asked for, sorted.
    pub(super) fn unasked(&self) -> Vec<String> {
        let mut names: Vec<_> = self.boxes.keys().filter(|name| !self.asked.contains(*name)).cloned().collect();
        names.sort();
        names
    }

    /// True when the file is JSON with `images` and `annotations`.
    pub(super) fn looks_like_one(path: &Path) -> bool {
        #[derive(Deserialize)]
        struct Probe {
            #[serde(rename = "images")]
            _images: Vec<IgnoredAny>,
            #[serde(rename = "annotations")]
            _annotations: Vec<IgnoredAny>,
        }
        File::open(path).is_ok_and(|file| serde_json::from_reader::<_, Probe>(BufReader::new(file)).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Coco, BagError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.json");
        std::fs::write(&path, text).unwrap();
        Coco::read(&path)
    }

    #[test]
    fn boxes_are_found_by_path_or_unique_name() {
        let mut coco = read(
            r#"{"images": [{"id": 7, "file_name": "a/1.jpg", "width": 9}, {"id": 8, "file_name": "b/2.jpg"},
                           {"id": 9, "file_name": "c/2.jpg"}],
                "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1}],
                "categories": [{"id": 3, "name": "person"}, {"id": 1, "name": "pallet"}]}"#,
        )
        .unwrap();
        let person = TruthBox { bbox: Box2::new(1.0, 2.0, 4.0, 6.0), class: "person".into(), crowd: true };
        assert_eq!(coco.truth("1.png"), Some(vec![person]));
        assert_eq!(coco.truth("2.jpg"), None, "two images have that name");
        assert_eq!(coco.truth("b/2.jpg"), Some(vec![]));
        assert_eq!(coco.unasked(), ["c/2.jpg"]);
        assert_eq!(coco.classes, ["pallet", "person"]);
    }

    #[test]
    fn the_wrong_field_is_named() {
        let image = r#"{"id": 7, "file_name": "1.jpg"}"#;
        for (text, expected) in [
            (r#"{"annotations": [], "categories": []}"#.to_owned(), "missing field `images`"),
            (r#"{"images": [{"id": 1}], "annotations": [], "categories": []}"#.to_owned(), "missing field `file_name`"),
            (
                format!(r#"{{"images": [{image}], "annotations": [{{"image_id": 7}}], "categories": []}}"#),
                "category_id",
            ),
            (
                format!(
                    r#"{{"images": [{image}], "annotations": [{{"image_id": 7, "category_id": 1, "bbox": [0,0,1,1]}}],
                        "categories": []}}"#
                ),
                "`annotations[0].category_id` 1",
            ),
            (
                format!(
                    r#"{{"images": [{image}], "annotations": [{{"image_id": 7, "category_id": 1, "bbox": [0,0,-1,1]}}],
                        "categories": [{{"id": 1, "name": "person"}}]}}"#
                ),
                "`annotations[0].bbox`",
            ),
            ("hello".to_owned(), "expected value"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
