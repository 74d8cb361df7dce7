//! The executor alone, over real keepers and real processes: no actors, no store, no HTTP.

mod ends;
mod fallback;
mod hostile;
mod output;
mod rig;
mod sealed;
mod slots;
mod spawn;
