//! Elements as they stand in files, as numbers and as indices.

use half::f16;

use super::npy::ElementType;

/// How elements stand in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    pub(super) element: ElementType,
    pub(super) big_endian: bool,
}

impl Coding {
    /// The bytes of as many elements as `out` has, rounded to 32-bit floats; booleans are 0 and 1.
    pub(super) fn numbers(self, bytes: &[u8], out: &mut [f32]) {
        use ElementType as E;
        match self.element {
            E::Bool => self.map(bytes, out, |[byte]: [u8; 1]| f32::from(u8::from(byte != 0))),
            E::I8 => self.map(bytes, out, |bytes| f32::from(i8::from_le_bytes(bytes))),
            E::I16 => self.map(bytes, out, |bytes| f32::from(i16::from_le_bytes(bytes))),
            E::I32 => self.map(bytes, out, |bytes| i32::from_le_bytes(bytes) as f32),
            E::I64 => self.map(bytes, out, |bytes| i64::from_le_bytes(bytes) as f32),
            E::U8 => self.map(bytes, out, |[byte]: [u8; 1]| f32::from(byte)),
            E::U16 => self.map(bytes, out, |bytes| f32::from(u16::from_le_bytes(bytes))),
            E::U32 => self.map(bytes, out, |bytes| u32::from_le_bytes(bytes) as f32),
            E::U64 => self.map(bytes, out, |bytes| u64::from_le_bytes(bytes) as f32),
            E::F16 => self.map(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            E::F32 => self.map(bytes, out, f32::from_le_bytes),
            E::F64 => self.map(bytes, out, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    /// The bytes of as many integers or booleans as `out` has; or the place and value of the first
    /// that is no index.
    pub(super) fn indices(self, bytes: &[u8], out: &mut [u32]) -> Result<(), (usize, i128)> {
        use ElementType as E;
        match self.element {
            E::Bool => {
                self.map(bytes, out, |[byte]: [u8; 1]| u32::from(byte != 0));
                Ok(())
            }
            E::I8 => self.checked(bytes, out, |bytes| i8::from_le_bytes(bytes).into()),
            E::I16 => self.checked(bytes, out, |bytes| i16::from_le_bytes(bytes).into()),
            E::I32 => self.checked(bytes, out, |bytes| i32::from_le_bytes(bytes).into()),
            E::I64 => self.checked(bytes, out, |bytes| i64::from_le_bytes(bytes).into()),
            E::U8 => self.checked(bytes, out, |[byte]: [u8; 1]| byte.into()),
            E::U16 => self.checked(bytes, out, |bytes| u16::from_le_bytes(bytes).into()),
            E::U32 => self.checked(bytes, out, |bytes| u32::from_le_bytes(bytes).into()),
            E::U64 => self.checked(bytes, out, |bytes| u64::from_le_bytes(bytes).into()),
            E::F16 | E::F32 | E::F64 => unreachable!("invariant: floats were refused before"),
        }
    }

    fn map<const N: usize, T>(self, bytes: &[u8], out: &mut [T], convert: impl Fn([u8; N]) -> T) {
        let pairs = bytes.as_chunks::<N>().0.iter().zip(out);
        match self.big_endian {
            false => pairs.for_each(|(bytes, out)| *out = convert(*bytes)),
            true => pairs.for_each(|(bytes, out)| {
                let mut bytes = *bytes;
                bytes.reverse();
                *out = convert(bytes);
            }),
        }
    }

    fn checked<const N: usize>(
        self,
        bytes: &[u8],
        out: &mut [u32],
        convert: impl Fn([u8; N]) -> i128,
    ) -> Result<(), (usize, i128)> {
        let pairs = bytes.as_chunks::<N>().0.iter().zip(out);
        for (place, (bytes, out)) in pairs.enumerate() {
            let mut bytes = *bytes;
            if self.big_endian {
                bytes.reverse();
            }
            let value = convert(bytes);
            *out = u32::try_from(value).map_err(|_| (place, value))?;
        }
        Ok(())
    }
}
