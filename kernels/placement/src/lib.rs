//! The placement problem, its solver and its certificate.
