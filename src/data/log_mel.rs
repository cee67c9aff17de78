//! What a log-mel spectrogram is made with.

use serde::{Deserialize, Serialize};

/// How sound becomes a log-mel spectrogram: the power in bands of frequency over time.
///
/// The samples are cut into frames of `fft` samples, one every `hop` samples. Frame t is centred
/// at sample t * hop, zeros standing beyond both ends, so that n samples have 1 + n / hop frames.
/// A frame is multiplied by a periodic Hann window, transformed, and its magnitudes are squared.
/// Triangular filters sum these powers to bands whose edges are evenly spaced on Slaney's mel
/// scale (linear below 1000 Hz, logarithmic above) and whose areas are equal (Slaney's
/// normalisation). The result is 10 log10(max(power, 1e-10)), in decibels; librosa's `top_db` is
/// not applied, since it depends on the loudest sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMel {
    pub(super) bands: usize,
    pub(super) fft: usize,
    pub(super) hop: usize,
    pub(super) range: Option<(f64, f64)>,
    pub(super) mfcc: Option<usize>,
}

impl LogMel {
    /// A spectrogram of so many bands, with librosa's defaults: frames of 2048 samples, one every
    /// 512, bands from 0 Hz to half the sample rate.
    pub fn new(bands: usize) -> LogMel {
        LogMel { bands, fft: 2048, hop: 512, range: None, mfcc: None }
    }

    /// Samples of a frame, an even number; powers of two are fastest.
    pub fn fft(mut self, samples: usize) -> Self {
        self.fft = samples;
        self
    }

    /// Samples from one frame to the next.
    pub fn hop(mut self, samples: usize) -> Self {
        self.hop = samples;
        self
    }

    /// Lowest and highest frequency of the bands, in Hz.
    pub fn range(mut self, lowest: f64, highest: f64) -> Self {
        self.range = Some((lowest, highest));
        self
    }

    /// The first so many mel-frequency cepstral coefficients of each frame in place of its bands: the
    /// orthonormal discrete cosine transform (type II) of their decibels,
    /// c_k = √(2 / n) Σ_i x_i cos(π k (2 i + 1) / (2 n)), c_0 divided by √2, for n bands.
    pub fn mfcc(mut self, coefficients: usize) -> Self {
        self.mfcc = Some(coefficients);
        self
    }

    /// Number of bands.
    pub fn bands(&self) -> usize {
        self.bands
    }

    /// Numbers of a frame: bands, or coefficients.
    pub fn lines(&self) -> usize {
        self.mfcc.unwrap_or(self.bands)
    }

    /// Frames of so many samples: 1 + samples / hop.
    pub fn frames(&self, samples: usize) -> usize {
        1 + samples / self.hop.max(1)
    }
}
