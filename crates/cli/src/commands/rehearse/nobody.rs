//! Who writes to a throw-away server: nobody.

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Context, Noted, WriterGroup, Writers};

/// Nobody writes to a throw-away server.
pub(super) struct NoWriters;

impl Writers for NoWriters {
    fn note(&self, _context: &Context, _data_sets: &[DataSetName]) -> Result<Noted> {
        Ok(Noted(serde_json::Value::Null))
    }
    fn stop(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        Ok(())
    }
    fn start(&self, _context: &Context, _noted: &Noted, _group: WriterGroup) -> Result<()> {
        Ok(())
    }
    fn release(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        Ok(())
    }
    fn stopped(&self, _context: &Context) -> Result<Option<bool>> {
        Ok(Some(true))
    }
    fn can_stop(&self) -> bool {
        true
    }
}
