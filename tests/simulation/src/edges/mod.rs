//! Models of what is outside the product.

pub mod socket;
