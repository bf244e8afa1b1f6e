//! Several API processes over one database behave as one.

mod failures;
mod pushes;
