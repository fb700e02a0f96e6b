//! Shuffle objects: their writer and reader.
