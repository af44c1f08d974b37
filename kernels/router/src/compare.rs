//! Whether two answers to one request are the same answer, by datatype and tolerance. Pure.

use crate::answers::Tensor;

/// In what two answers differ first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Other outputs, or another number of them.
    Names,
    /// Another datatype.
    Datatype,
    /// Another shape.
    Shape,
    /// Another value, beyond the tolerance where it is a float.
    Values,
}

/// Compares what a place answered with what is believed to be right. Floats may differ by `tolerance` * (1 + |right|);
/// integers, truths and bytes not at all. The order of outputs does not matter.
///
/// # Errors
/// In what they differ first.
pub fn compare(said: &[Tensor], right: &[Tensor], tolerance: f64) -> Result<(), Difference> {
    if said.len() != right.len() {
        return Err(Difference::Names);
    }
    for expected in right {
        let tensor = said.iter().find(|tensor| tensor.name == expected.name).ok_or(Difference::Names)?;
        if tensor.datatype != expected.datatype {
            return Err(Difference::Datatype);
        }
        if tensor.shape != expected.shape {
            return Err(Difference::Shape);
        }
        if tensor.raw != expected.raw && !close(&expected.datatype, &tensor.raw, &expected.raw, tolerance) {
            return Err(Difference::Values);
        }
    }
    Ok(())
}

/// Whether two lists of floats are alike; lists of anything else that are not equal are not.
fn close(datatype: &str, said: &[u8], right: &[u8], tolerance: f64) -> bool {
    match datatype {
        "FP16" => all_close::<2>(said, right, tolerance, |bytes| half(u16::from_le_bytes(bytes))),
        "BF16" => all_close::<2>(said, right, tolerance, |bytes| {
            f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16).into()
        }),
        "FP32" => all_close::<4>(said, right, tolerance, |bytes| f32::from_le_bytes(bytes).into()),
        "FP64" => all_close::<8>(said, right, tolerance, f64::from_le_bytes),
        _ => false,
    }
}

fn all_close<const N: usize>(said: &[u8], right: &[u8], tolerance: f64, value: fn([u8; N]) -> f64) -> bool {
    let (said, rest) = said.as_chunks::<N>();
    let (right, right_rest) = right.as_chunks::<N>();
    let near = |(said, right): (&[u8; N], &[u8; N])| {
        let (said, right) = (value(*said), value(*right));
        let same = said.to_bits() == right.to_bits() || (said.is_nan() && right.is_nan());
        // An infinity is near nothing but itself: the difference is infinite, or no number.
        same || (right.is_finite() && (said - right).abs() <= tolerance * (1.0 + right.abs()))
    };
    rest.is_empty() && right_rest.is_empty() && said.len() == right.len() && said.iter().zip(right).all(near)
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Difference, compare, half};
    use crate::answers::Tensor;

    fn tensor(name: &str, datatype: &str, shape: &[i64], raw: &[u8]) -> Tensor {
        let raw = Bytes::copy_from_slice(raw);
        Tensor { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec(), raw }
    }

    fn floats(values: &[f32]) -> Vec<Tensor> {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        vec![tensor("y", "FP32", &[i64::try_from(values.len()).unwrap()], &raw)]
    }

    #[test]
    fn floats_may_differ_within_the_tolerance() {
        let alike = |said: &[f32], right: &[f32]| compare(&floats(said), &floats(right), 0.001);
        assert_eq!(alike(&[100.05, 0.0005], &[100.0, 0.0]), Ok(()));
        assert_eq!(alike(&[100.2, 0.0], &[100.0, 0.0]), Err(Difference::Values));
        assert_eq!(alike(&[0.01], &[0.0]), Err(Difference::Values));
        assert_eq!(alike(&[0.0], &[-0.0]), Ok(()));
        let (infinite, none) = (f32::INFINITY, f32::NAN);
        assert_eq!(alike(&[infinite, -infinite, none], &[infinite, -infinite, none]), Ok(()));
        for (said, right) in [(infinite, -infinite), (1.0, infinite), (infinite, 1.0), (none, 1.0), (1.0, none)] {
            assert_eq!(alike(&[said], &[right]), Err(Difference::Values), "{said} {right}");
        }
    }

    #[test]
    fn all_else_must_be_equal() {
        let one = |datatype, raw: &[u8]| vec![tensor("y", datatype, &[1], raw)];
        assert_eq!(compare(&one("INT32", &[1, 0, 0, 0]), &one("INT32", &[1, 0, 0, 0]), 1.0), Ok(()));
        assert_eq!(compare(&one("INT32", &[1, 0, 0, 0]), &one("INT32", &[2, 0, 0, 0]), 1.0), Err(Difference::Values));
        assert_eq!(compare(&one("BYTES", b"\x01\0\0\0a"), &one("BYTES", b"\x01\0\0\0b"), 1.0), Err(Difference::Values));
        assert_eq!(compare(&one("INT32", &[0; 4]), &one("FP32", &[0; 4]), 1.0), Err(Difference::Datatype));
        let wide = vec![tensor("y", "INT32", &[1, 1], &[0; 4])];
        assert_eq!(compare(&wide, &one("INT32", &[0; 4]), 1.0), Err(Difference::Shape));
        assert_eq!(compare(&[], &wide, 1.0), Err(Difference::Names));
        assert_eq!(compare(&[tensor("z", "INT32", &[1, 1], &[0; 4])], &wide, 1.0), Err(Difference::Names));
        assert_eq!(compare(&one("FP32", &[0; 3]), &one("FP32", &[0; 4]), 1.0), Err(Difference::Values), "cut off");
    }

    #[test]
    fn the_order_of_outputs_does_not_matter() {
        let (a, b) = (tensor("a", "INT8", &[1], &[1]), tensor("b", "INT8", &[1], &[2]));
        assert_eq!(compare(&[a.clone(), b.clone()], &[b, a], 0.0), Ok(()));
    }

    #[test]
    fn half_precision() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 5.960_464_477_539_063e-8)] {
            assert!((half(bits) - value).abs() < 1e-12, "{bits:#x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
        let of = |datatype, raw: [u8; 2]| vec![tensor("y", datatype, &[1], &raw)];
        assert_eq!(compare(&of("FP16", [1, 0x3c]), &of("FP16", [0, 0x3c]), 0.001), Ok(()));
        assert_eq!(compare(&of("BF16", [0x81, 0x3f]), &of("BF16", [0x80, 0x3f]), 0.001), Err(Difference::Values));
        assert_eq!(compare(&of("BF16", [0x81, 0x3f]), &of("BF16", [0x80, 0x3f]), 0.01), Ok(()));
    }
}
