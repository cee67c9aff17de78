//! Log-mel spectrograms and their cepstral coefficients, with librosa's conventions
//! (`librosa.feature.melspectrogram`, `librosa.power_to_db` and `librosa.feature.mfcc`).

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::data::log_mel::LogMel;
use crate::error::DataError;

/// Powers below this are taken for it before the logarithm, as in librosa.
const LEAST_POWER: f64 = 1e-10;

/// Longest transform, in samples.
const MAX_FFT: usize = 1 << 20;
/// Most bands: what a model's file asks for costs no more than it is worth.
const MAX_BANDS: usize = 1024;

impl LogMel {
    /// The spectrogram of samples taken at `rate` Hz: for each band, from the lowest, its
    /// decibels in each frame; or each coefficient in each frame.
    ///
    /// ```
    /// use ironwarp::data::LogMel;
    ///
    /// let second: Vec<f32> = (0..8000).map(|i| (i as f32 * 0.3).sin()).collect();
    /// let spectrogram = LogMel::new(40).fft(512).hop(160).transform(&second, 8000)?;
    /// assert_eq!(spectrogram.len(), 40 * 51);
    /// # Ok::<(), ironwarp::error::DataError>(())
    /// ```
    ///
    /// # Errors
    /// If `fft` is odd, 0 or above 2^20, `hop` or the number of bands is 0, the range is not one
    /// of frequencies up to half the rate, there are more than 1024 bands, a band is so narrow that no frequency of the
    /// transform falls into it, or there are no coefficients or more than bands.
    pub fn transform(&self, samples: &[f32], rate: u32) -> Result<Vec<f32>, DataError> {
        Ok(self.bank(rate)?.transform(samples))
    }

    /// The window, the transform and the filters for a sample rate.
    pub(super) fn bank(&self, rate: u32) -> Result<Bank, DataError> {
        let invalid = |message| Err(DataError::Invalid(format!("log-mel spectrogram: {message}")));
        let &LogMel { bands, fft, hop, .. } = self;
        if fft == 0 || fft > MAX_FFT || !fft.is_multiple_of(2) {
            return invalid(format!("fft is {fft}, expected an even number up to {MAX_FFT}"));
        }
        if hop == 0 || bands == 0 {
            return invalid(format!("hop is {hop} and there are {bands} bands, both must be > 0"));
        }
        let half = f64::from(rate) / 2.0;
        let (lowest, highest) = self.range.unwrap_or((0.0, half));
        if !(0.0 <= lowest && lowest < highest && highest <= half) {
            return invalid(format!(
                "range is {lowest} to {highest} Hz, expected rising frequencies from 0 to \
                 {half} Hz, half the sample rate"
            ));
        }
        if bands > fft / 2 {
            return invalid(format!(
                "{bands} bands are more than the {} frequencies of a frame of {fft} samples",
                fft / 2
            ));
        }
        if bands > MAX_BANDS {
            return invalid(format!("there are {bands} bands, expected up to {MAX_BANDS}"));
        }
        if let Some(count) = self.mfcc.filter(|count| !(1..=bands).contains(count)) {
            return invalid(format!(
                "{count} coefficients of {bands} bands, expected 1 to {bands}"
            ));
        }
        let filters = filters(bands, fft, f64::from(rate), lowest, highest);
        if let Some(band) = filters.iter().position(|filter| filter.weights.is_empty()) {
            return invalid(format!(
                "band {band} of {bands} holds no frequency of a frame of {fft} samples at {rate} \
                 Hz; use fewer bands or a longer `fft`"
            ));
        }
        let window = (0..fft).map(|n| 0.5 - 0.5 * (TAU * n as f64 / fft as f64).cos()).collect();
        let transform = RealFftPlanner::new().plan_fft_forward(fft);
        let cosines = self.mfcc.map(|count| cosines(count, bands));
        Ok(Bank { window, hop, transform, filters, cosines })
    }
}

/// The first rows of the orthonormal cosine transform (type II) of `bands` numbers.
fn cosines(count: usize, bands: usize) -> Vec<Vec<f64>> {
    let of = |k: usize| {
        let scale: f64 = if k == 0 { 1.0 } else { 2.0 };
        let scale = (scale / bands as f64).sqrt();
        let angle = PI * k as f64 / (2 * bands) as f64;
        (0..bands).map(|i| scale * (angle * (2 * i + 1) as f64).cos()).collect()
    };
    (0..count).map(of).collect()
}

/// A band: weights of the powers from frequency number `start` on.
struct Filter {
    start: usize,
    weights: Vec<f64>,
}

/// Triangles whose corners are evenly spaced in mel, with the area of librosa's `norm="slaney"`.
fn filters(bands: usize, fft: usize, rate: f64, lowest: f64, highest: f64) -> Vec<Filter> {
    let (first, last) = (mel(lowest), mel(highest));
    let corner = |i: usize| hertz(first + (last - first) * i as f64 / (bands + 1) as f64);
    let filter = |band| {
        let [low, middle, high] = [corner(band), corner(band + 1), corner(band + 2)];
        let weight = |bin: usize| {
            let frequency = bin as f64 * rate / fft as f64;
            let rising = (frequency - low) / (middle - low);
            let falling = (high - frequency) / (high - middle);
            rising.min(falling).max(0.0) * 2.0 / (high - low)
        };
        let inside = |&bin: &usize| weight(bin) > 0.0;
        let [from, to] = [low, high].map(|corner| (corner * fft as f64 / rate) as usize);
        let mut bins = from..=(to + 1).min(fft / 2);
        let start = bins.find(inside).unwrap_or(0);
        let weights = (start..=fft / 2).take_while(inside).map(weight).collect();
        Filter { start, weights }
    };
    (0..bands).map(filter).collect()
}

/// Slaney's mel scale: 200 / 3 Hz a mel up to 1000 Hz, then 27 mels for a factor of 6.4.
fn mel(hertz: f64) -> f64 {
    match hertz < 1000.0 {
        true => hertz * 3.0 / 200.0,
        false => 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln(),
    }
}

fn hertz(mel: f64) -> f64 {
    match mel < 15.0 {
        true => mel * 200.0 / 3.0,
        false => 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp(),
    }
}

/// All that does not depend on the samples.
pub(super) struct Bank {
    window: Vec<f64>,
    hop: usize,
    transform: Arc<dyn RealToComplex<f64>>,
    filters: Vec<Filter>,
    /// What coefficients are made with, where they are asked for.
    cosines: Option<Vec<Vec<f64>>>,
}

impl Bank {
    pub(super) fn transform(&self, samples: &[f32]) -> Vec<f32> {
        let fft = self.window.len();
        let frames = 1 + samples.len() / self.hop;
        let lines = self.cosines.as_ref().map_or(self.filters.len(), Vec::len);
        let mut result = vec![0.0; lines * frames];
        let mut decibels = vec![0.0; self.filters.len()];
        let mut frame = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        for time in 0..frames {
            // The frame begins half a frame before sample time * hop.
            for (n, (value, window)) in frame.iter_mut().zip(&self.window).enumerate() {
                let sample = (time * self.hop + n).checked_sub(fft / 2);
                let sample = sample.and_then(|at| samples.get(at)).copied().unwrap_or(0.0);
                *value = f64::from(sample) * window;
            }
            self.transform
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .expect("invariant: the buffers have the transform's lengths");
            for (filter, decibels) in self.filters.iter().zip(&mut decibels) {
                let bins = &spectrum[filter.start..];
                let power: f64 =
                    filter.weights.iter().zip(bins).map(|(w, bin)| w * bin.norm_sqr()).sum();
                *decibels = 10.0 * power.max(LEAST_POWER).log10();
            }
            let frame = result.iter_mut().skip(time).step_by(frames);
            match &self.cosines {
                None => frame.zip(&decibels).for_each(|(to, x)| *to = *x as f32),
                Some(cosines) => frame.zip(cosines).for_each(|(to, row)| {
                    *to = row.iter().zip(&decibels).map(|(c, x)| c * x).sum::<f64>() as f32;
                }),
            }
        }
        result
    }
}
