//! The sandbox with real guests. They are built from source, which needs a guest compiler: the repository's test
//! command provides it.

mod hostile;
