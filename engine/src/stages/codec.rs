//! How stage plans become bytes.
