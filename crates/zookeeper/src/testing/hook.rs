//! Something that is done at a certain step.

use std::fmt;

/// What is done, and after how many steps.
pub(crate) struct Hook {
    steps: usize,
    what: Box<dyn FnOnce() + Send>,
}

impl Hook {
    pub(crate) fn new(steps: usize, what: impl FnOnce() + Send + 'static) -> Self {
        Self { steps, what: Box::new(what) }
    }

    /// One step. Gives what is left to do.
    pub(crate) fn step(mut self) -> Option<Self> {
        if self.steps == 0 {
            (self.what)();
            return None;
        }
        self.steps -= 1;
        Some(self)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("steps", &self.steps).finish_non_exhaustive()
    }
}
