//! Properties of the model: whatever happens, in whatever order, these hold.

mod bounds;
mod rules;
mod shapes;
mod transitions;
mod words;
