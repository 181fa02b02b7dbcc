//! The verbs of the data set, each in a file of its own.

use std::io::Write;
use std::sync::Arc;

use plan::Result;
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    ChangesRows, Context, DataSet, Discard, Dump, Findings, Held, Leftover, LiveRows, Place, Problem, Road, Snapshot, Staged, StoreKind,
    Undone,
};

use crate::place::Schemas;
use crate::server::Server;
use crate::session::Talk;
use crate::store::MysqlStore;
use crate::{cut_over, discard, dump, fits, identity, leftovers, lock, look, prove, reserve, stage, staged};

impl MysqlStore {
    fn schemas(&self, place: &Place) -> Result<Schemas> {
        Schemas::from_place(place, &self.address.database)
    }
}

impl DataSet for MysqlStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        let mut session = self.session(Talk::Text, None)?;
        Ok(Server::ask(&mut session)?.kind.into())
    }

    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        let mut session = self.session(Talk::Text, None)?;
        let server = Server::ask(&mut session)?;
        identity::of(&mut session, &server, &self.address.database)
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(self, context)
    }

    fn fits(&self, _context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        fits::fits(self, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        Ok(Box::new(dump::begin(self, context)?))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        reserve::reserve(self, context, road)?.to_place()
    }

    fn staged(&self, place: &Place) -> Result<Option<Staged>> {
        staged::staged(self, place)
    }

    fn ask_staged(&self, context: &Context, place: &Place, words: &[String], answer: &mut dyn Write) -> Result<()> {
        staged::answer(self, context, place, words, answer)
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, _kept: &KeptDataSet) -> Result<()> {
        stage::stage(self, context, &self.schemas(place)?, &*snapshot)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        prove::prove(self, context, &self.schemas(place)?, kept)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        cut_over::cut_over(self, context, &self.schemas(place)?)
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        cut_over::undo(self, context, &self.schemas(place)?)
    }

    fn keeps_previous(&self, place: &Place) -> bool {
        self.schemas(place).is_ok_and(|schemas| schemas.keeps_previous())
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        discard::check(self, context, &self.schemas(place)?, what)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        discard::discard(self, context, &self.schemas(place)?, what)
    }

    fn kept_bytes(&self, _context: &Context, place: &Place) -> Result<u64> {
        discard::kept_bytes(self, &self.schemas(place)?)
    }

    fn lock(&self, _context: &Context) -> Result<Option<Box<dyn Held>>> {
        lock::take(self).map(Some)
    }

    fn live_rows(&self) -> Option<&dyn LiveRows> {
        Some(self)
    }

    fn changes_rows(&self) -> Option<&dyn ChangesRows> {
        Some(self)
    }

    fn leftovers(&self, _context: &Context) -> Result<Vec<Leftover>> {
        leftovers::list(self)
    }

    fn remove_leftover(&self, _context: &Context, leftover: &Leftover) -> Result<()> {
        leftovers::remove(self, leftover)
    }
}
