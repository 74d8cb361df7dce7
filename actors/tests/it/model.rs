//! Properties of the model: whatever happens, in whatever order, these hold.

mod rules;
mod shapes;
mod transitions;
mod words;
