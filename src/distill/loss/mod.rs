//! Distillation losses, each a named term.
