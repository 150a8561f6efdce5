//! The duties of each system, on Windows.
