//! Windows of data that stays in files, read ahead of their use.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::rows::{Order, Rows, Taken};
use crate::data::{Dataset, Held};
use crate::error::{DataError, Result, TrainError};

/// A window's number and its rows.
type Loaded = (usize, Result<Dataset, DataError>);

/// The rows of a run, in the order of their use. Of data in files a thread reads the next window,
/// with the help of others, while rows are taken from the one at hand; no third window is held.
pub(super) struct Supply<'scope> {
    data: &'scope Dataset,
    ahead: Option<Ahead<'scope>>,
    indices: Vec<usize>,
}

struct Ahead<'scope> {
    loaded: Receiver<Loaded>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
    /// The window that is at hand.
    window: Option<(usize, Dataset)>,
}

impl<'scope> Supply<'scope> {
    /// Begins to read the windows of these orders, one order after the other, from place `first` of
    /// the first order on; `threads` read at once.
    pub(super) fn new(
        scope: &'scope Scope<'scope, '_>,
        data: &'scope Dataset,
        orders: impl Iterator<Item = Order> + Send + 'scope,
        first: usize,
        threads: usize,
    ) -> Result<Self> {
        let ahead = match data.windows() {
            Some(_) => Some(Ahead::new(scope, data, orders, first, threads)?),
            None => None,
        };
        Ok(Supply { data, ahead, indices: vec![] })
    }

    /// Gives `take` these rows, stretch by stretch: a dataset, which of its rows, and where among all
    /// of these they stand.
    ///
    /// # Errors
    /// Those of `take`, and of reading files. If reading panicked, so does this.
    pub(super) fn each(
        &mut self,
        rows: &Rows,
        mut take: impl FnMut(&Dataset, Taken<'_>, usize) -> Result<()>,
    ) -> Result<()> {
        let (Some(ahead), Order::Windows(windows)) = (&mut self.ahead, rows.order()) else {
            rows.write(&mut self.indices);
            return take(self.data, rows.taken(&self.indices), 0);
        };
        let begin = rows.places().start;
        for (window, places) in windows.split(rows.places()) {
            windows.write(window, places.clone(), &mut self.indices);
            let held = ahead.window(window, places.start == windows.places(window).start)?;
            take(held, rows.taken(&self.indices), places.start - begin)?;
        }
        Ok(())
    }

    /// These rows of data that stays in files, in memory; none where `each` has them in the data.
    ///
    /// # Errors
    /// As of [`Supply::each`].
    pub(super) fn held(&mut self, rows: &Rows) -> Result<Option<Dataset>> {
        if self.ahead.is_none() {
            return Ok(None);
        }
        let mut held = Held::new(self.data, rows.places().len());
        self.each(rows, |data, taken, at| Ok(held.fill(at, data, taken.rows)?))?;
        Ok(Some(held.into_dataset()))
    }
}

impl<'scope> Ahead<'scope> {
    fn new(
        scope: &'scope Scope<'scope, '_>,
        data: &'scope Dataset,
        orders: impl Iterator<Item = Order> + Send + 'scope,
        first: usize,
        threads: usize,
    ) -> Result<Self> {
        // A window waits here for the one before it to be done with.
        let (send, loaded) = sync_channel(0);
        let work = move || {
            let mut first = first;
            for order in orders {
                let Order::Windows(windows) = order else { return };
                for window in windows.at(first)..windows.count() {
                    let ranges: Vec<Range<usize>> = windows.ranges(window);
                    let result = data.load(&ranges, threads);
                    let failed = result.is_err();
                    if send.send((window, result)).is_err() || failed {
                        return;
                    }
                }
                first = 0;
            }
        };
        let started = Builder::new().name("ironwarp loading".into()).spawn_scoped(scope, work);
        let thread = started.map_err(|error| {
            TrainError::State(format!("cannot start a thread that reads rows: {error}"))
        })?;
        Ok(Ahead { loaded, thread: Some(thread), window: None })
    }

    /// The window of this number, which is the one at hand or, at its beginning, the next.
    fn window(&mut self, number: usize, begins: bool) -> Result<&Dataset> {
        if begins || self.window.is_none() {
            // Before the next one is taken, so that its reader may begin with the one after it.
            self.window = None;
            let Ok((loaded, result)) = self.loaded.recv() else {
                if let Some(Err(panic)) = self.thread.take().map(ScopedJoinHandle::join) {
                    resume_unwind(panic);
                }
                let text = "no more rows are read after an error";
                return Err(TrainError::State(text.into()).into());
            };
            assert_eq!(loaded, number, "invariant: windows are read as they are used");
            self.window = Some((loaded, result?));
        }
        let (at_hand, data) = self.window.as_ref().expect("invariant: it was taken above");
        assert_eq!(*at_hand, number, "invariant: windows are used in their order");
        Ok(data)
    }
}
