//! Whole images and single objects as vectors, between which the losses of relations compare.

use burn::tensor::{Int, Tensor, TensorData};

use super::Cells;
use crate::geometry::Box2;

/// Embeds each image as its features' average: `[batch, channels, H, W]` -> `[batch, channels]`.
pub fn image_embeddings(features: Tensor<4>) -> Tensor<2> {
    let [images, channels, height, width] = features.dims();
    features.reshape([images, channels, height * width]).mean_dim(2).reshape([images, channels])
}

/// Embeds each box as the average of the features inside it: `[batch, channels, H, W]` -> `[boxes, channels]`, in the order
/// of the boxes.
///
/// `boxes` are those of the images of the batch, by index, in pixels of the network's input; `stride` is the map's, in pixels
/// a cell. A cell is inside a box when its centre is ([`Cells::of_box`]); a box without one has the features of the cell that is
/// nearest to its own centre. Boxes without an area or with edges that are not finite numbers and boxes of images that the batch
/// has not are passed over, which does not depend on the map: student and teacher embed the same boxes.
///
/// `None` with fewer than two boxes, which have no relations.
pub fn box_embeddings(features: Tensor<4>, boxes: &[(usize, Box2)], stride: usize) -> Option<Tensor<2>> {
    let [images, channels, height, width] = features.dims();
    let boxes: Vec<(usize, Box2)> =
        boxes.iter().copied().filter(|(image, bbox)| *image < images && bbox.is_valid()).collect();
    if boxes.len() < 2 {
        return None;
    }
    // Each image's boxes in a row of slots, as many as the fullest image needs: one matrix product for each image.
    let mut taken = vec![0; images];
    let mut places = Vec::with_capacity(boxes.len());
    for (image, _) in &boxes {
        places.push(taken[*image]);
        taken[*image] += 1;
    }
    let slots = taken.into_iter().max().unwrap_or_default();
    let map = Cells::new([(stride, height, width)]);
    let cells = map.len();
    let mut shares = vec![0.0_f32; images * slots * cells];
    let mut indices: Vec<i64> = Vec::with_capacity(boxes.len());
    for ((image, bbox), place) in boxes.iter().zip(places) {
        let row = image * slots + place;
        indices.push(row as i64);
        let inside = map.of_box(bbox);
        let share = 1.0 / inside.len() as f32;
        inside.into_iter().for_each(|cell| shares[row * cells + cell] = share);
    }
    let device = features.device();
    let shares = Tensor::<3>::from_data(TensorData::new(shares, [images, slots, cells]), &device);
    let features = features.reshape([images, channels, cells]).swap_dims(1, 2);
    let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &device);
    Some(shares.matmul(features).reshape([images * slots, channels]).select(0, indices))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::{cases, check, values, waves};

    #[test]
    fn embeddings_agree_with_the_reference() {
        for case in cases("image_embeddings") {
            let features = case.input::<4>("student").unwrap().require_grad();
            let embeddings = image_embeddings(features.clone());
            check("images", &features, embeddings, &case.loss, case.gradient("student"));
        }
        for case in cases("box_embeddings") {
            let features = case.input::<4>("student").unwrap().require_grad();
            let boxes: Vec<(usize, Box2)> = case
                .boxes
                .iter()
                .map(|&(image, [x_min, y_min, x_max, y_max])| (image, Box2::new(x_min, y_min, x_max, y_max)))
                .collect();
            let stride = case.setting("stride") as usize;
            let embeddings = box_embeddings(features.clone(), &boxes, stride).unwrap();
            check(&format!("stride {stride}"), &features, embeddings, &case.loss, case.gradient("student"));
        }
    }

    #[test]
    fn a_single_valid_box_has_no_relations() {
        let features = waves([2, 3, 4, 5], 0.0);
        let good = Box2::new(0.0, 0.0, 16.0, 16.0);
        let bad = [(0, Box2::new(3.0, 3.0, 3.0, 9.0)), (2, good), (1, Box2::new(f32::NAN, 0.0, 9.0, 9.0))];
        let mut boxes = bad.to_vec();
        boxes.push((1, good));
        assert!(box_embeddings(features.clone(), &[], 8).is_none());
        assert!(box_embeddings(features.clone(), &boxes, 8).is_none());
        boxes.push((0, good));
        let embeddings = box_embeddings(features, &boxes, 8).unwrap();
        assert_eq!(embeddings.dims(), [2, 3]);
        assert!(values(embeddings).iter().all(|value| value.is_finite()));
    }
}
