//! Distillation of how features change on their way through the network.

use burn::tensor::{Tensor, module::adaptive_avg_pool2d};

/// Flow of the solution procedure: mean squared difference between the matrices of dot products of an earlier map's channels
/// with a later map's, divided by the number of cells ("A Gift from Knowledge Distillation", Yim et al. 2017).
///
/// Maps are `[batch, channels, H, W]`; the two `from` maps have equally many channels, and so have the two `to` maps (adapters
/// are up to the caller). On either side the earlier map is brought to the size of the later one by averaging. Returns `[1]`;
/// the teacher is a constant.
pub fn flow(
    student_from: Tensor<4>,
    student_to: Tensor<4>,
    teacher_from: Tensor<4>,
    teacher_to: Tensor<4>,
) -> Tensor<1> {
    (flow_matrix(student_from, student_to) - flow_matrix(teacher_from.detach(), teacher_to.detach())).square().mean()
}

/// `[batch, channels of from, channels of to]`.
fn flow_matrix(from: Tensor<4>, to: Tensor<4>) -> Tensor<3> {
    let [images, earlier, rows, columns] = from.dims();
    let [_, later, height, width] = to.dims();
    let from = if (rows, columns) == (height, width) { from } else { adaptive_avg_pool2d(from, [height, width]) };
    let cells = height * width;
    let from = from.reshape([images, earlier, cells]);
    let to = to.reshape([images, later, cells]).swap_dims(1, 2);
    from.matmul(to) / cells as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::loss::reference::{assert_close, cases, check_properties};

    #[test]
    fn flow_agrees_with_the_reference() {
        for (index, case) in cases("flow").iter().enumerate() {
            let [from, to] = ["student_from", "student_to"].map(|name| case.input::<4>(name).unwrap().require_grad());
            let [teacher_from, teacher_to] = ["teacher_from", "teacher_to"].map(|name| case.input::<4>(name).unwrap());
            let loss = flow(from.clone(), to.clone(), teacher_from, teacher_to);
            let gradients = loss.backward();
            assert_close(&format!("loss {index}"), loss, &case.loss);
            for (name, map) in [("student_from", from), ("student_to", to)] {
                assert_close(&format!("{name} {index}"), map.grad(&gradients).unwrap(), case.gradient(name));
            }
        }
    }

    #[test]
    fn equal_flows_cost_nothing_and_zeros_stay_finite() {
        let pooled = |map: &Tensor<4>| adaptive_avg_pool2d(map.clone(), [2, 3]);
        check_properties("flow", [2, 3, 4, 6], |student, teacher| {
            let (student_to, teacher_to) = (pooled(&student), pooled(&teacher));
            flow(student, student_to, teacher, teacher_to)
        });
    }
}
