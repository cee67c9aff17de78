//! Progress on standard error: a bar and lines on a terminal, lines alone elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::history::EpochRecord;

/// What is shown while training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar if standard error is a terminal, and one line per epoch.
    Auto,
    /// One line per epoch.
    Lines,
    /// Nothing.
    Silent,
}

pub(super) struct Display {
    progress: Progress,
    bar: bool,
    epochs: usize,
    drawn: Option<Instant>,
    started: Instant,
    /// In this epoch, for rows: time that the device may have had nothing to do.
    pub(super) waited: Duration,
}

const WIDTH: usize = 20;
const EVERY: Duration = Duration::from_millis(100);

impl Display {
    pub(super) fn new(progress: Progress, epochs: usize) -> Self {
        let bar = progress == Progress::Auto && std::io::stderr().is_terminal();
        Display {
            progress,
            bar,
            epochs,
            drawn: None,
            started: Instant::now(),
            waited: Duration::ZERO,
        }
    }

    pub(super) fn begin_epoch(&mut self) {
        self.started = Instant::now();
        self.waited = Duration::ZERO;
    }

    /// Draws the bar, at most every 100 milliseconds.
    pub(super) fn step(&mut self, epoch: usize, done: usize, steps: usize, loss: f64) {
        if !self.bar || self.drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let full = done * WIDTH / steps.max(1);
        let bar: String = (0..WIDTH).map(|i| if i < full { '━' } else { '╌' }).collect();
        let left =
            self.started.elapsed().as_secs_f64() / done.max(1) as f64 * (steps - done) as f64;
        self.print(&format!(
            "\r\x1b[2KEpoch {epoch:>3}/{} {bar} {done}/{steps}  loss {loss:.4}  eta {left:.0} s",
            self.epochs
        ));
    }

    pub(super) fn epoch(&mut self, record: &EpochRecord, best: bool) {
        if self.progress == Progress::Silent {
            return;
        }
        let mut line = format!(
            "{}Epoch {:>3}/{}  {:.1} s  loss {:.4}",
            if self.bar { "\r\x1b[2K" } else { "" },
            record.epoch,
            self.epochs,
            record.seconds,
            record.loss
        );
        if let Some(loss) = record.validation_loss {
            line.push_str(&format!("  validation loss {loss:.4}"));
        }
        for (name, value) in &record.metrics {
            line.push_str(&format!("  {name} {value:.4}"));
        }
        line.push_str(&format!("  {:.0} rows/s", record.rows_per_second));
        line.push_str(&waiting(self.waited, record.seconds));
        line.push_str(if best { "  best\n" } else { "\n" });
        self.print(&line);
    }

    /// A closed or full standard error is no reason to stop training.
    fn print(&self, text: &str) {
        let mut error = std::io::stderr().lock();
        let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
    }
}

/// The share of an epoch that rows were waited for, if it is worth a word.
fn waiting(waited: Duration, seconds: f64) -> String {
    let percent = 100.0 * waited.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
    if percent > 1.0 { format!("  waited for data {percent:.0} %") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_told_above_one_percent() {
        assert_eq!(waiting(Duration::from_millis(125), 1.0), "  waited for data 12 %");
        assert_eq!(waiting(Duration::from_millis(10), 1.0), "");
        assert_eq!(waiting(Duration::ZERO, 0.0), "");
    }
}
