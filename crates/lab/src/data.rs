//! 3scale-like data: the same every time for the same seed and size, in all stores together.
//!
//! Every row, key and file is made from its number alone, so parts are made in parallel, in bounded memory, and agree
//! with each other without a look at each other. Must never hold a whole table, and has no clock but [`calendar::NOW`],
//! except where a key has a time to live.

pub(crate) mod backend_redis;
pub(crate) mod calendar;
pub(crate) mod random;
pub(crate) mod row;
pub(crate) mod shape;
pub(crate) mod storage;
pub(crate) mod system;
pub(crate) mod system_redis;
pub(crate) mod zync;

pub use shape::Shape;
