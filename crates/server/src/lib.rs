//! server
pub mod access;
pub mod doors {
    pub mod bucket;
}
