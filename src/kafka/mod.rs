//! The `kafka` room.
