use ironwarp::data::WavFolder;

use crate::Refusals;

/// A WAV file with this format tag, channels, rate, bytes of a sample and claimed data length.
fn wav(tag: u16, channels: u16, rate: u32, bytes: u16, claimed: u32, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend(claimed.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate.wrapping_mul(u32::from(channels * bytes))).to_le_bytes());
    file.extend((channels * bytes).to_le_bytes());
    file.extend((bytes * 8).to_le_bytes());
    file.extend(b"data");
    file.extend(claimed.to_le_bytes());
    file.extend(data);
    file
}

#[test]
fn audio() {
    let mut refusals = Refusals::default();
    let mut add = |name: &str, files: &[(&str, &[u8])]| {
        let read = |folder: &std::path::Path| WavFolder::new(folder, "{class}_{index}.wav").read();
        refusals.add_folder(name, files, read);
    };
    let good = wav(1, 1, 8000, 2, 4, &[0; 4]);
    add("no WAV files", &[("a_1.mp3", b"ID3"), ("a_2.flac", b"fLaC")]);
    add("name that does not fit", &[("a_1.wav", &good), ("a2.wav", &good)]);
    add("empty", &[("a_1.wav", b"")]);
    add("text", &[("a_1.wav", b"this is no sound")]);
    add("MP3 named WAV", &[("a_1.wav", b"ID3\x04\0\0\0\0\0\0\0\0")]);
    add("RIFF but no WAVE", &[("a_1.wav", b"RIFF\x04\0\0\0AVI ")]);
    add("no format", &[("a_1.wav", b"RIFF\x0c\0\0\0WAVEdata\0\0\0\0")]);
    add("header cut off", &[("a_1.wav", &good[..30])]);
    add("data cut off", &[("a_1.wav", &good[..46])]);
    add("4 GiB claimed", &[("a_1.wav", &wav(1, 1, 8000, 2, 0xffff_fff0, &[0; 4]))]);
    add("compressed", &[("a_1.wav", &wav(2, 1, 8000, 2, 4, &[0; 4]))]);
    add("no channels", &[("a_1.wav", &wav(1, 0, 8000, 2, 4, &[0; 4]))]);
    add("half a sample", &[("a_1.wav", &wav(1, 1, 8000, 2, 3, &[0; 3]))]);
    add("64 bits", &[("a_1.wav", &wav(1, 1, 8000, 8, 8, &[0; 8]))]);
    add("no samples", &[("a_1.wav", &wav(1, 1, 8000, 2, 0, &[]))]);
    let nan = f32::NAN.to_le_bytes();
    add("not a number", &[("a_1.wav", &wav(3, 1, 8000, 4, 4, &nan))]);
    add("another rate", &[("a_1.wav", &good), ("b_1.wav", &wav(1, 1, 16000, 2, 4, &[0; 4]))]);
    insta::assert_snapshot!(refusals.text);
}
